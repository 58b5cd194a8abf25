(secret, 782 bytes, sha256 6509ee42b3594596…)
