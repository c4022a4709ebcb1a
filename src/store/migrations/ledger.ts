/**
 * The ledger's tables: one row per money fact, append-only by trigger, settled at most once by unique index.
 * The opened row carries one index entry, because it is on the way of every request; what reports need hangs on the rest.
 * `kind` is opened, closed, hit, adjustment or grant; a CHECK would cost more than the index does.
 */
export const LEDGER_MIGRATIONS: readonly string[] = [
  `CREATE TABLE ledger (
     seq INTEGER PRIMARY KEY,
     kind TEXT NOT NULL,
     attempt INTEGER NOT NULL,
     at INTEGER NOT NULL,
     exchange TEXT NOT NULL,
     revision INTEGER NOT NULL,
     principal TEXT NOT NULL,
     organization TEXT,
     team TEXT,
     user TEXT,
     end_user TEXT,
     model TEXT NOT NULL,
     upstream TEXT NOT NULL,
     provider TEXT NOT NULL,
     upstream_model TEXT NOT NULL,
     held INTEGER,
     input INTEGER,
     cache_read INTEGER,
     cache_write_5m INTEGER,
     cache_write_1h INTEGER,
     output INTEGER,
     reasoning INTEGER,
     image_input INTEGER,
     image_output INTEGER,
     audio_input INTEGER,
     audio_output INTEGER,
     calls TEXT,
     cost INTEGER,
     price_version TEXT,
     usage_source TEXT,
     outcome TEXT,
     status INTEGER,
     reason TEXT,
     served_model TEXT,
     upstream_request_id TEXT,
     written_at INTEGER
   ) STRICT;
   CREATE UNIQUE INDEX ledger_opened ON ledger (attempt) WHERE kind = 'opened';
   CREATE UNIQUE INDEX ledger_settled ON ledger (attempt) WHERE kind IN ('closed', 'hit');
   CREATE INDEX ledger_adjusted ON ledger (attempt) WHERE kind = 'adjustment';
   CREATE INDEX ledger_at ON ledger (at) WHERE kind <> 'opened';
   CREATE INDEX ledger_unpriced ON ledger (at)
     WHERE kind = 'closed' AND price_version IS NULL AND usage_source <> 'none';
   CREATE TRIGGER ledger_keep BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
   CREATE TRIGGER ledger_stay BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

   CREATE TABLE marks (
     name TEXT PRIMARY KEY,
     seq INTEGER NOT NULL
   ) STRICT;`,
  // A JSON array of names, sorted.
  'ALTER TABLE ledger ADD COLUMN tags TEXT',
  // How the vendor served it, where that changes the price.
  'ALTER TABLE ledger ADD COLUMN service_tier TEXT',
  // What the caller is charged, and by which terms; both or none.
  `ALTER TABLE ledger ADD COLUMN charge INTEGER;
   ALTER TABLE ledger ADD COLUMN terms TEXT;
   CREATE INDEX ledger_charged ON ledger (terms, at) WHERE terms IS NOT NULL;`,
]
