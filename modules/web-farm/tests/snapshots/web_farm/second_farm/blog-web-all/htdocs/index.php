<?php
// The demonstration: says which node answered.
header('Content-Type: application/json');
echo json_encode(['node' => getenv('LAMPWRIGHT_NODE')]), "\n";
