/**
 * The trail's own file. Leaf hashes and those of complete subtrees stand in tiles of 256, as C2SP tlog-tiles cuts a tree:
 * level 0 holds leaves, level n the roots of the tiles below. Salts are all that is ever deleted.
 */
import type { TablesDefinition } from '../../core/store.ts'

export const tables: TablesDefinition = {
  file: 'audit',
  migrations: [
    `CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
     CREATE TABLE cursors (source TEXT PRIMARY KEY, row INTEGER NOT NULL) STRICT;
     CREATE TABLE trees (
       id INTEGER PRIMARY KEY, organization TEXT UNIQUE, size INTEGER NOT NULL, head INTEGER NOT NULL
     ) STRICT;
     INSERT INTO trees (id, organization, size, head) VALUES (0, NULL, 0, 0);
     CREATE TABLE records (
       seq INTEGER PRIMARY KEY, tree INTEGER NOT NULL, leaf INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
       exchange TEXT, record TEXT NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX records_leaf ON records (tree, leaf);
     CREATE INDEX records_exchange ON records (exchange) WHERE exchange IS NOT NULL;
     CREATE INDEX records_kind ON records (kind, seq) WHERE kind NOT IN ('ledger', 'exchange', 'intent');
     CREATE TRIGGER records_keep BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'records is append-only'); END;
     CREATE TRIGGER records_stay BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'records is append-only'); END;
     CREATE TABLE tiles (
       tree INTEGER NOT NULL, level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL,
       PRIMARY KEY (tree, level, number)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE keys (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, size INTEGER NOT NULL, verifier TEXT NOT NULL) STRICT;
     CREATE TABLE checkpoints (
       id INTEGER PRIMARY KEY, at INTEGER NOT NULL, size INTEGER NOT NULL, key INTEGER NOT NULL, last INTEGER NOT NULL,
       note TEXT NOT NULL
     ) STRICT;
     CREATE INDEX checkpoints_last ON checkpoints (key) WHERE last = 1;
     CREATE TABLE salts (seq INTEGER PRIMARY KEY, salt BLOB NOT NULL) STRICT;`,
  ],
  statements: {
    fact: 'SELECT value FROM facts WHERE name = ?',
    setFact: 'INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    cursor: 'SELECT row FROM cursors WHERE source = ?',
    setCursor: 'INSERT INTO cursors (source, row) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET row = excluded.row',
    last: 'SELECT coalesce(max(seq), -1) AS seq FROM records',
    treeOf: 'SELECT id, size, head FROM trees WHERE organization IS ?',
    addTree: 'INSERT INTO trees (organization, size, head) VALUES (?, 0, 0)',
    grow: 'UPDATE trees SET size = ? WHERE id = ?',
    setHead: 'UPDATE trees SET head = size WHERE id = ?',
    headless: 'SELECT id, organization, size FROM trees WHERE id > 0 AND head < size ORDER BY id',
    add: 'INSERT INTO records (seq, tree, leaf, at, kind, exchange, record) VALUES (?, ?, ?, ?, ?, ?, ?)',
    tile: 'SELECT hashes FROM tiles WHERE tree = ? AND level = ? AND number = ?',
    setTile: `INSERT INTO tiles (tree, level, number, hashes) VALUES (?, ?, ?, ?)
      ON CONFLICT (tree, level, number) DO UPDATE SET hashes = excluded.hashes`,
    addKey: 'INSERT INTO keys (at, size, verifier) VALUES (?, ?, ?)',
    keys: 'SELECT id, at, size, verifier FROM keys ORDER BY id',
    addCheckpoint: 'INSERT INTO checkpoints (at, size, key, last, note) VALUES (?, ?, ?, ?, ?)',
    newestCheckpoint: 'SELECT id, at, size, note FROM checkpoints ORDER BY id DESC LIMIT 1',
    lastCheckpoints: 'SELECT id, size, key, note FROM checkpoints WHERE last = 1 ORDER BY id',
    checkpointAt: 'SELECT id, at, size, note FROM checkpoints WHERE size >= ? ORDER BY id LIMIT 1',
    addSalt: 'INSERT INTO salts (seq, salt) VALUES (?, ?)',
    salt: 'SELECT salt FROM salts WHERE seq = ?',
    dropSalt: 'DELETE FROM salts WHERE seq = ?',
    secureDelete: 'PRAGMA secure_delete = ON',
    emptyLog: 'PRAGMA wal_checkpoint(TRUNCATE)',
    record: 'SELECT seq, tree, leaf, record FROM records WHERE seq = ?',
    treeName: 'SELECT organization FROM trees WHERE id = ?',
    headOf: `SELECT leaf, record FROM records WHERE tree = 0 AND kind = 'head' AND record ->> '$.organization' = ?
      AND leaf < ? ORDER BY seq DESC LIMIT 1`,
    organizations: 'SELECT organization FROM trees WHERE id > 0 ORDER BY id',
    leaves: 'SELECT leaf, record FROM records WHERE tree = ? AND leaf >= ? AND leaf < ? ORDER BY leaf LIMIT 1000',
    saltsOf: `SELECT seq FROM records WHERE seq IN (SELECT seq FROM salts) AND kind = 'exchange'
      AND (?1 IS NULL OR exchange = ?1) AND (?2 IS NULL OR record ->> '$.principal' = ?2)
      AND (?3 IS NULL OR record ->> '$.user' = ?3) AND (?4 IS NULL OR record ->> '$.endUser' = ?4) ORDER BY seq`,
    dropSaltsOf: `DELETE FROM salts WHERE seq IN (SELECT seq FROM records WHERE seq IN (SELECT seq FROM salts)
      AND kind = 'exchange' AND (:exchange IS NULL OR exchange = :exchange)
      AND (:principal IS NULL OR record ->> '$.principal' = :principal)
      AND (:user IS NULL OR record ->> '$.user' = :user) AND (:endUser IS NULL OR record ->> '$.endUser' = :endUser))`,
    // Filters are bound; one that is absent is NULL and lets everything pass.
    list: `SELECT seq, record FROM records
      WHERE seq < coalesce(:before, 9e15) AND at BETWEEN coalesce(:since, 0) AND coalesce(:until, 9e15)
        AND (:kind IS NULL OR kind = :kind)
        AND (:exchange IS NULL OR exchange = :exchange)
        AND (:actor IS NULL OR record ->> '$.actor' = :actor OR record ->> '$.principal' = :actor)
        AND (:action IS NULL OR record ->> '$.action' GLOB :action)
        AND (:object IS NULL OR record ->> '$.object' GLOB :object)
        AND (:organization IS NULL OR record ->> '$.organization' = :organization)
      ORDER BY seq DESC LIMIT :limit`,
    slice: `SELECT leaf, record FROM records WHERE tree = :tree AND leaf >= :from AND leaf < :to
      ORDER BY leaf LIMIT :limit`,
    filtered: `SELECT leaf, record FROM records WHERE tree = :tree AND leaf >= :from AND leaf < :to
        AND at BETWEEN coalesce(:since, 0) AND coalesce(:until, 9e15)
        AND (:kind IS NULL OR kind = :kind)
        AND (:exchange IS NULL OR exchange = :exchange)
        AND (:actor IS NULL OR record ->> '$.actor' = :actor OR record ->> '$.principal' = :actor)
        AND (:action IS NULL OR record ->> '$.action' GLOB :action)
        AND (:object IS NULL OR record ->> '$.object' GLOB :object)
      ORDER BY leaf LIMIT :limit`,
    recordOf: 'SELECT record FROM records WHERE seq = :seq',
    organizationTree: 'SELECT id, size FROM trees WHERE organization IS :organization',
  },
}
