(secret, 787 bytes, sha256 7ed8460cc55eaf3d…)
