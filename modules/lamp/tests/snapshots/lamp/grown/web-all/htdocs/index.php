<?php
// The demonstration: a page that writes to the database and reads from it, and says who did it.
declare(strict_types=1);
require __DIR__ . '/lib/guestbook.php';

$node = (string) getenv('LAMPWRIGHT_NODE');
$notice = null;
$error = null;
$status = 200;
$guestbook = new Guestbook($node);

try {
    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        $text = trim((string) ($_POST['text'] ?? ''));
        if ($text === '' || mb_strlen_safe($text) > 200) {
            $status = 400;
            $error = 'Write between 1 and 200 characters.';
        } else {
            $guestbook->write($text);
            $notice = 'Written, and confirmed by a majority of the members.';
        }
    }
} catch (Throwable $failure) {
    $status = 503;
    $error = 'The database takes no writes now: ' . Guestbook::explain($failure) . ' ' . Guestbook::fate($failure);
}

$entries = [];
$counts = [];
$member = null;
try {
    [$entries, $member] = $guestbook->latest(10);
    $counts = $guestbook->countByNode();
} catch (Throwable $failure) {
    $status = 503;
    $error = ($error ? $error . ' ' : '') . 'The database cannot be read now: ' . Guestbook::explain($failure);
}

http_response_code($status);
header('Cache-Control: no-store');
header("Content-Security-Policy: default-src 'none'; style-src 'self'; form-action 'self'");

if (($_GET['format'] ?? '') === 'json') {
    header('Content-Type: application/json');
    echo json_encode([
        'node' => $node, 'member' => $member, 'error' => $error,
        'entries' => $entries, 'counts' => $counts,
    ], JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
    return;
}
header('Content-Type: text/html; charset=utf-8');
function h(string $text): string { return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8'); }
function mb_strlen_safe(string $text): int { return preg_match_all('/./us', $text) ?: strlen($text); }
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>lampwright demo</title>
<link rel="stylesheet" href="style.css">
<h1>lampwright demo</h1>
<p class="who">Served by <strong><?= h($node) ?></strong><?php if ($member !== null): ?>,
read from <strong><?= h($member) ?></strong><?php endif ?>.</p>
<?php if ($notice): ?><p class="notice"><?= h($notice) ?></p><?php endif ?>
<?php if ($error): ?><p class="error"><?= h($error) ?></p><?php endif ?>
<form method="post" action="index.php">
  <input name="text" maxlength="200" required autofocus placeholder="Leave a line">
  <button>Write</button>
</form>
<h2>Written by each web node</h2>
<ul class="counts">
<?php foreach ($counts as $name => $count): ?>
  <li><strong><?= h((string) $name) ?></strong> <?= (int) $count ?></li>
<?php endforeach ?>
</ul>
<h2>Latest</h2>
<ol class="entries">
<?php foreach ($entries as $entry): ?>
  <li><?= h($entry['text']) ?> <small>by <?= h($entry['node']) ?>, <?= h($entry['at']) ?></small></li>
<?php endforeach ?>
</ol>
</html>
