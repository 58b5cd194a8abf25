(secret, 777 bytes, sha256 8e21627433793f21…)
