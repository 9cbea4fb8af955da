"""What is promised of retention, the guard, several stores, leases, copies and locks: each caused for real."""
