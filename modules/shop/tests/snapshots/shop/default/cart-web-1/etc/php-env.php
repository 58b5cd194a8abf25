(secret, 782 bytes, sha256 c417860fb6c66979…)
