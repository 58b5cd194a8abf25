(secret, 777 bytes, sha256 0d3d954b89065955…)
