(secret, 787 bytes, sha256 573b61d63924bd00…)
