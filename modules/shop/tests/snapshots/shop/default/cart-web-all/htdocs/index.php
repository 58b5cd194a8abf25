<?php
// The cart: GET lists its items, POST adds one (item=..). Both applications of the shop share one database layer.
$manager = new MongoDB\Driver\Manager(getenv('DATABASE_URI'));
$items = getenv('DATABASE_NAME') . '.cart';
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $write = new MongoDB\Driver\BulkWrite();
    $write->insert(['item' => substr((string) ($_POST['item'] ?? ''), 0, 200)]);
    $manager->executeBulkWrite($items, $write);
}
$found = $manager->executeQuery($items, new MongoDB\Driver\Query([], ['limit' => 100, 'sort' => ['_id' => -1]]));
header('Content-Type: application/json');
echo json_encode([
    'application' => 'cart',
    'node' => getenv('LAMPWRIGHT_NODE'),
    'items' => array_map(fn ($entry) => $entry->item, $found->toArray()),
]), "\n";
