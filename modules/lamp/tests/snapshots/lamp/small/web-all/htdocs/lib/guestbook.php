<?php
declare(strict_types=1);

use MongoDB\BSON\UTCDateTime;
use MongoDB\Driver\BulkWrite;
use MongoDB\Driver\Command;
use MongoDB\Driver\Manager;
use MongoDB\Driver\Query;

/** Lines that people leave, in a replica set. Every call ends within a deadline that is shorter than the load balancer's. */
final class Guestbook
{
    private const DEADLINE_MS = 8000;
    private ?Manager $manager = null;
    private string $database;

    public function __construct(private string $node)
    {
        $this->database = getenv('DATABASE_NAME') ?: 'app';
    }

    /** Returns when a majority of the members has the line. */
    public function write(string $text): void
    {
        $bulk = new BulkWrite();
        $bulk->insert(['text' => $text, 'node' => $this->node, 'at' => new UTCDateTime()]);
        $this->manager()->executeBulkWrite("{$this->database}.lines", $bulk);
    }

    /** The latest lines, and the name of the member that they were read from. */
    public function latest(int $limit): array
    {
        $query = new Query([], ['sort' => ['_id' => -1], 'limit' => $limit, 'maxTimeMS' => self::DEADLINE_MS]);
        $cursor = $this->manager()->executeQuery("{$this->database}.lines", $query);
        $server = $cursor->getServer();
        $entries = [];
        foreach ($cursor as $line) {
            $entries[] = [
                'text' => (string) $line->text,
                'node' => (string) $line->node,
                'at' => $line->at->toDateTime()->format('Y-m-d H:i:s'),
            ];
        }
        return [$entries, $this->memberName($server->getHost(), $server->getPort())];
    }

    /** How many lines each web node has written. */
    public function countByNode(): array
    {
        $pipeline = [['$group' => ['_id' => '$node', 'count' => ['$sum' => 1]]], ['$sort' => ['_id' => 1]]];
        $command = new Command(['aggregate' => 'lines', 'pipeline' => $pipeline, 'cursor' => (object) [], 'maxTimeMS' => self::DEADLINE_MS]);
        $counts = [];
        foreach ($this->manager()->executeReadCommand($this->database, $command) as $row) {
            $counts[(string) $row->_id] = (int) $row->count;
        }
        return $counts;
    }

    /** In words that a visitor understands, without addresses or credentials. */
    public static function explain(Throwable $failure): string
    {
        return match (true) {
            $failure instanceof MongoDB\Driver\Exception\ConnectionTimeoutException => 'no member that could do it answered in time.',
            $failure instanceof MongoDB\Driver\Exception\AuthenticationException => 'it did not accept this application.',
            default => 'it reported an error.',
        };
    }

    /** What became of a line whose writing failed: only where no member took it is it certain that it is nowhere. */
    public static function fate(Throwable $failure): string
    {
        return $failure instanceof MongoDB\Driver\Exception\ConnectionTimeoutException
            ? 'Nothing was written.'
            : 'The line was not confirmed by a majority of the members; it may be lost.';
    }

    private function manager(): Manager
    {
        // Try again until the deadline, so that an election passes unnoticed; PHP's default is to fail at once.
        return $this->manager ??= new Manager((string) getenv('DATABASE_URI'), [
            'serverSelectionTryOnce' => false,
            'serverSelectionTimeoutMS' => self::DEADLINE_MS,
            'socketTimeoutMS' => self::DEADLINE_MS,
            'connectTimeoutMS' => 2000,
            'heartbeatFrequencyMS' => 1000,
            'wTimeoutMS' => self::DEADLINE_MS,
            // Show only what will not be taken back.
            'readConcernLevel' => 'majority',
        ]);
    }

    private function memberName(string $host, int $port): string
    {
        foreach (array_filter(explode(',', (string) getenv('DATABASE_MEMBERS'))) as $member) {
            [$name, $address] = explode('=', $member, 2) + [1 => ''];
            if ($address === "$host:$port") {
                return $name;
            }
        }
        return 'a member';
    }
}
