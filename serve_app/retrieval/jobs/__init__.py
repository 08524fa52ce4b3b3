"""Documents that were posted to be ingested in the background: jobs that can be watched and cancelled."""
