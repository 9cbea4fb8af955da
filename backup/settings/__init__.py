"""What a user may set: one frozen model, and how it is read. Reads nothing when it is imported.

The model is the only list of settings: environment names, help texts and the reference come from it.
"""

from backup.settings.branches import StoreSettings
from backup.settings.loading import Loaded, load, read
from backup.settings.model import Settings

__all__ = ["Loaded", "Settings", "StoreSettings", "load", "read"]
