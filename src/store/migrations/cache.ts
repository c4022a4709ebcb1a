/** Kept replies. The row id grows with every write, so that the oldest rows are the first; all of it may be lost. */
export const CACHE_MIGRATIONS: readonly string[] = [
  `CREATE TABLE entries (
     id INTEGER PRIMARY KEY,
     module TEXT NOT NULL,
     scope TEXT NOT NULL,
     key TEXT NOT NULL,
     stored_at INTEGER NOT NULL,
     expires_at INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     meta TEXT NOT NULL,
     body BLOB NOT NULL,
     UNIQUE (module, scope, key)
   ) STRICT;
   CREATE INDEX entries_expiry ON entries (expires_at);`,
]
