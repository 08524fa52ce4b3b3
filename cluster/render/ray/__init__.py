"""Ray and the application: the RayService. The operator makes everything else of Ray from it."""
