(secret, 401 bytes, sha256 3ef73548ba7868c7…)
