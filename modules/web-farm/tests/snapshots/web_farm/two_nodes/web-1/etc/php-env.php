(secret, 401 bytes, sha256 6db2b81ee789cf7f…)
