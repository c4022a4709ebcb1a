/**
 * The core's own tables in stockyard.db: configuration revisions, administrative facts, sealed secrets.
 * Applied in order, each in its own transaction; a released step is never edited, only followed by another.
 */
export const STOCKYARD_MIGRATIONS: readonly string[] = [
  `CREATE TABLE revisions (
     id INTEGER PRIMARY KEY,
     at INTEGER NOT NULL,
     actor TEXT NOT NULL,
     action TEXT NOT NULL,
     before TEXT NOT NULL,
     after TEXT NOT NULL,
     configuration TEXT NOT NULL
   ) STRICT;
   CREATE TRIGGER revisions_keep BEFORE UPDATE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions is append-only'); END;
   CREATE TRIGGER revisions_stay BEFORE DELETE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions is append-only'); END;

   CREATE TABLE directory (
     name TEXT PRIMARY KEY,
     value TEXT NOT NULL,
     version INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE directory_changes (
     id INTEGER PRIMARY KEY,
     at INTEGER NOT NULL,
     actor TEXT NOT NULL,
     action TEXT NOT NULL,
     object TEXT NOT NULL,
     before TEXT,
     after TEXT
   ) STRICT;
   CREATE TRIGGER directory_changes_keep BEFORE UPDATE ON directory_changes
     BEGIN SELECT RAISE(ABORT, 'directory_changes is append-only'); END;
   CREATE TRIGGER directory_changes_stay BEFORE DELETE ON directory_changes
     BEGIN SELECT RAISE(ABORT, 'directory_changes is append-only'); END;

   CREATE TABLE secrets (
     owner TEXT NOT NULL,
     name TEXT NOT NULL,
     key_id TEXT NOT NULL,
     nonce BLOB NOT NULL,
     sealed BLOB NOT NULL,
     updated_at INTEGER NOT NULL,
     PRIMARY KEY (owner, name)
   ) STRICT;

   CREATE TABLE facts (
     name TEXT PRIMARY KEY,
     value ANY
   ) STRICT;`,
]
