/** The log's own file: one row per exchange, and the bodies apart, so that they can go sooner (A12). */
import type { TablesDefinition } from '../../core/store.ts'

export const tables: TablesDefinition = {
  file: 'logs',
  migrations: [
    `CREATE TABLE exchanges (
       id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, at INTEGER NOT NULL, revision INTEGER NOT NULL,
       operation TEXT NOT NULL, dialect TEXT NOT NULL, path TEXT NOT NULL, stream INTEGER NOT NULL,
       principal TEXT NOT NULL, peer TEXT NOT NULL, model TEXT NOT NULL, upstream TEXT, upstream_model TEXT,
       served_model TEXT, status INTEGER NOT NULL, outcome TEXT NOT NULL, error TEXT, attempts INTEGER NOT NULL,
       cache TEXT, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, usage_source TEXT NOT NULL,
       cost_nanos INTEGER NOT NULL, unpriced INTEGER NOT NULL, total_ms REAL NOT NULL, first_content_ms REAL,
       overhead_ms REAL NOT NULL, detail TEXT NOT NULL
     ) STRICT;
     CREATE INDEX exchanges_at ON exchanges (at);
     CREATE INDEX exchanges_request ON exchanges (request_id);
     CREATE TABLE bodies (
       id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, at INTEGER NOT NULL, request TEXT, reply TEXT
     ) STRICT;
     CREATE INDEX bodies_request ON bodies (request_id);
     CREATE INDEX bodies_at ON bodies (at);`,
    `ALTER TABLE exchanges ADD COLUMN organization TEXT;
     ALTER TABLE exchanges ADD COLUMN team TEXT;
     ALTER TABLE exchanges ADD COLUMN user TEXT;
     ALTER TABLE exchanges ADD COLUMN end_user TEXT;`,
    // Whose a text is, so that it can go when its team wants it to.
    `ALTER TABLE bodies ADD COLUMN principal TEXT;
     ALTER TABLE bodies ADD COLUMN organization TEXT;
     ALTER TABLE bodies ADD COLUMN team TEXT;
     UPDATE bodies SET (principal, organization, team) = (
       SELECT e.principal, e.organization, e.team FROM exchanges AS e WHERE e.request_id = bodies.request_id
     );`,
  ],
  statements: {
    add: `INSERT INTO exchanges (request_id, at, revision, operation, dialect, path, stream, principal, peer, model,
        upstream, upstream_model, served_model, status, outcome, error, attempts, cache, input_tokens, output_tokens,
        usage_source, cost_nanos, unpriced, total_ms, first_content_ms, overhead_ms, detail, organization,
        team, user, end_user)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    addBody: `INSERT INTO bodies (request_id, at, request, reply, principal, organization, team)
      VALUES (?, ?, ?, ?, ?, ?, ?)`,
    // Optional filters are bound, never spliced in: an absent one is NULL and lets everything pass.
    list: `SELECT * FROM exchanges WHERE at BETWEEN coalesce(:since, 0) AND coalesce(:until, 9e15)
        AND (:before IS NULL OR id < :before)
        AND (:model IS NULL OR model = :model)
        AND (:upstream IS NULL OR upstream = :upstream)
        AND (:principal IS NULL OR principal = :principal)
        AND (:outcome IS NULL OR outcome = :outcome)
        AND (:status IS NULL OR status = :status)
        AND (:organization IS NULL OR organization = :organization)
        AND (:team IS NULL OR team = :team)
        AND (:user IS NULL OR user = :user)
        AND (:end_user IS NULL OR end_user = :end_user)
      ORDER BY id DESC LIMIT :limit`,
    one: 'SELECT * FROM exchanges WHERE request_id = :request_id ORDER BY id DESC LIMIT 1',
    body: 'SELECT request, reply FROM bodies WHERE request_id = :request_id ORDER BY id DESC LIMIT 1',
    secureDelete: 'PRAGMA secure_delete = ON',
    emptyLog: 'PRAGMA wal_checkpoint(TRUNCATE)',
    eraseBodies: `DELETE FROM bodies WHERE request_id IN (SELECT request_id FROM exchanges
        WHERE (:exchange IS NULL OR request_id = :exchange) AND (:principal IS NULL OR principal = :principal))`,
    // Old rows of one place, but not those of a narrower place that has a rule of its own.
    forgetExchanges: `DELETE FROM exchanges WHERE id IN (SELECT id FROM exchanges WHERE at >= :from AND at < :before
        AND (:organization IS NULL OR organization = :organization)
        AND (:team IS NULL OR team = :team)
        AND (:key IS NULL OR principal = :key)
        AND (principal IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:keys) AS k WHERE k.value = principal))
        AND (team IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:teams) AS t WHERE t.value = team))
        AND (organization IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:organizations) AS o WHERE o.value = organization))
        ORDER BY at LIMIT 5000)`,
    forgetBodies: `DELETE FROM bodies WHERE id IN (SELECT id FROM bodies WHERE at >= :from AND at < :before
        AND (:organization IS NULL OR organization = :organization)
        AND (:team IS NULL OR team = :team)
        AND (:key IS NULL OR principal = :key)
        AND (principal IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:keys) AS k WHERE k.value = principal))
        AND (team IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:teams) AS t WHERE t.value = team))
        AND (organization IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:organizations) AS o WHERE o.value = organization))
        ORDER BY at LIMIT 1000)`,
    forgetOldestBodies: 'DELETE FROM bodies WHERE id IN (SELECT id FROM bodies ORDER BY id LIMIT 500)',
    forgetOldestExchanges: 'DELETE FROM exchanges WHERE id IN (SELECT id FROM exchanges ORDER BY id LIMIT 2000)',
    size: 'SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_page_size, pragma_freelist_count',
    shrink: 'PRAGMA incremental_vacuum(2000)',
  },
}
