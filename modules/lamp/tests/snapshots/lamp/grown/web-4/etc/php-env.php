(secret, 777 bytes, sha256 599088f6176e067f…)
