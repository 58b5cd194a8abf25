(secret, 406 bytes, sha256 3f35d911a119eec7…)
