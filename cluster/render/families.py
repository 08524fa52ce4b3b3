"""The one table of what is rendered, in which layer. A new family is a module beside this one and a line here.

Within a layer the order of the lines is the order of the files in its kustomization.
"""

from __future__ import annotations

from cluster.render.objects import Extra, Family

FAMILIES: tuple[Family, ...] = ()

EXTRAS: tuple[Extra, ...] = ()
