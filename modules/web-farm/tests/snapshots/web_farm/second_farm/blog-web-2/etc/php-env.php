(secret, 406 bytes, sha256 c4035f768b7e0183…)
