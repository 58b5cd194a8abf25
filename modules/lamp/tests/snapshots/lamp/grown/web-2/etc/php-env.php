(secret, 777 bytes, sha256 3a36b8d76681210c…)
