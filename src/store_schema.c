/* SPDX-License-Identifier: Apache-2.0 */
/* src/store_schema.c - the database's tables and views, and the questions that are prepared.
 *
 * docs/store.md explains them. A change of a table changes VARVE_STORE_VERSION; views are made anew
 * whenever a scan begins, so that they are those of the varve that wrote last. */
#include <string.h>

#include "store_internal.h"

const char varve_store_tables[] =
    "CREATE TABLE producer(\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  versions TEXT NOT NULL UNIQUE) STRICT;\n"

    "CREATE TABLE scan(\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  began INTEGER NOT NULL,\n"
    "  ended INTEGER,\n"
    "  state TEXT NOT NULL CHECK(state IN\n"
    "    ('running', 'finished', 'partial', 'interrupted', 'killed', 'failed')),\n"
    "  exit_code INTEGER,\n"
    "  producer INTEGER NOT NULL REFERENCES producer,\n"
    "  sources TEXT NOT NULL,\n"
    "  deepest_rung TEXT NOT NULL,\n"
    "  memory INTEGER NOT NULL,\n"
    "  max_decoded INTEGER NOT NULL,\n"
    "  seconds REAL,\n"
    "  images INTEGER, images_failed INTEGER,\n"
    "  layers INTEGER, layers_failed INTEGER, layers_cached INTEGER,\n"
    "  gone INTEGER, errors INTEGER,\n"
    "  bytes_stored INTEGER, bytes_read INTEGER, bytes_decoded INTEGER) STRICT;\n"

    "CREATE TABLE source(\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  name TEXT NOT NULL UNIQUE,\n"
    "  scan INTEGER REFERENCES scan) STRICT;\n"

    "CREATE TABLE code(\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  code TEXT NOT NULL UNIQUE,\n"
    "  text TEXT NOT NULL) STRICT;\n"

    "CREATE TABLE blob(\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  sha256 BLOB NOT NULL UNIQUE CHECK(length(sha256) = 32),\n"
    "  bytes INTEGER NOT NULL) STRICT;\n"

    "CREATE TABLE layer(\n"
    "  blob INTEGER PRIMARY KEY REFERENCES blob,\n"
    "  scan INTEGER NOT NULL REFERENCES scan,\n"
    "  depth TEXT NOT NULL CHECK(depth IN ('diffid', 'content')),\n"
    "  status TEXT NOT NULL,\n"
    "  code INTEGER REFERENCES code,\n"
    "  offset_stored INTEGER,\n"
    "  offset_decoded INTEGER,\n"
    "  bytes_decoded INTEGER NOT NULL,\n"
    "  compression TEXT NOT NULL,\n"
    "  format TEXT,\n"
    "  entries INTEGER,\n"
    "  entries_kept INTEGER NOT NULL,\n"
    "  toc TEXT,\n"
    "  encoder TEXT,\n"
    "  encoder_evidence TEXT,\n"
    "  writer TEXT,\n"
    "  writer_evidence TEXT) STRICT;\n"

    "CREATE TABLE rung(\n"
    "  blob INTEGER NOT NULL REFERENCES blob,\n"
    "  rung INTEGER NOT NULL,\n"
    "  digest BLOB NOT NULL CHECK(length(digest) = 32),\n"
    "  PRIMARY KEY(blob, rung)) STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE facet(\n"
    "  blob INTEGER NOT NULL REFERENCES blob,\n"
    "  facet INTEGER NOT NULL,\n"
    "  digest BLOB NOT NULL CHECK(length(digest) = 32),\n"
    "  PRIMARY KEY(blob, facet)) STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE finding(\n"
    "  blob INTEGER NOT NULL REFERENCES blob,\n"
    "  code INTEGER NOT NULL REFERENCES code,\n"
    "  count INTEGER NOT NULL,\n"
    "  offset INTEGER,\n"
    "  entry ANY,\n"
    "  PRIMARY KEY(blob, code)) STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE entry(\n"
    "  blob INTEGER NOT NULL REFERENCES blob,\n"
    "  position INTEGER NOT NULL,\n"
    "  path ANY NOT NULL,\n"
    "  typeflag INTEGER NOT NULL,\n"
    "  size INTEGER NOT NULL,\n"
    "  mode INTEGER NOT NULL,\n"
    "  uid INTEGER NOT NULL,\n"
    "  gid INTEGER NOT NULL,\n"
    "  mtime INTEGER NOT NULL,\n"
    "  mtime_ns INTEGER NOT NULL,\n"
    "  link ANY,\n"
    "  uname ANY,\n"
    "  gname ANY,\n"
    "  sha256 BLOB CHECK(length(sha256) = 32),\n"
    "  PRIMARY KEY(blob, position)) STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE location(\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  source INTEGER NOT NULL REFERENCES source,\n"
    "  name ANY NOT NULL,\n"
    "  blob INTEGER REFERENCES blob,\n"
    "  status TEXT NOT NULL,\n"
    "  code INTEGER REFERENCES code,\n"
    "  offset_stored INTEGER,\n"
    "  offset_decoded INTEGER,\n"
    "  os_errno INTEGER,\n"
    "  check_name TEXT NOT NULL,\n"
    "  check_size TEXT NOT NULL,\n"
    "  check_diffid TEXT NOT NULL,\n"
    "  check_media_type TEXT NOT NULL,\n"
    "  referenced INTEGER NOT NULL,\n"
    "  size INTEGER,\n"
    "  mtime_ns INTEGER,\n"
    "  inode INTEGER,\n"
    "  offset INTEGER,\n"
    "  verified_at INTEGER,\n"
    "  gone INTEGER REFERENCES scan,\n"
    "  UNIQUE(source, name)) STRICT;\n"
    "CREATE INDEX location_blob ON location(blob);\n"
    "CREATE INDEX location_failed ON location(status) WHERE status <> 'ok';\n"

    "CREATE TABLE image(\n"
    "  id INTEGER PRIMARY KEY,\n"
    "  source INTEGER NOT NULL REFERENCES source,\n"
    "  ref TEXT NOT NULL,\n"
    "  digest BLOB NOT NULL CHECK(length(digest) IN (32, 64)),\n"
    "  platform TEXT NOT NULL,\n"
    "  kind TEXT NOT NULL CHECK(kind IN ('image', 'attestation', 'artifact')),\n"
    "  status TEXT NOT NULL,\n"
    "  code INTEGER REFERENCES code,\n"
    "  document TEXT,\n"
    "  fingerprint INTEGER NOT NULL,\n"
    "  gone INTEGER REFERENCES scan,\n"
    "  UNIQUE(source, ref, digest, platform)) STRICT;\n"

    "CREATE TABLE image_rung(\n"
    "  image INTEGER NOT NULL REFERENCES image,\n"
    "  rung INTEGER NOT NULL,\n"
    "  digest BLOB NOT NULL CHECK(length(digest) = 32),\n"
    "  PRIMARY KEY(image, rung)) STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE reference(\n"
    "  image INTEGER NOT NULL REFERENCES image,\n"
    "  position INTEGER NOT NULL,\n"
    "  location INTEGER NOT NULL REFERENCES location,\n"
    "  size INTEGER,\n"
    "  media_type TEXT,\n"
    "  diffid BLOB CHECK(length(diffid) = 32),\n"
    "  status TEXT NOT NULL,\n"
    "  check_size TEXT NOT NULL,\n"
    "  check_diffid TEXT NOT NULL,\n"
    "  check_media_type TEXT NOT NULL,\n"
    "  PRIMARY KEY(image, position)) STRICT, WITHOUT ROWID;\n"
    "CREATE INDEX reference_location ON reference(location);\n"

    "CREATE TABLE error(\n"
    "  scan INTEGER NOT NULL REFERENCES scan,\n"
    "  position INTEGER NOT NULL,\n"
    "  name TEXT NOT NULL,\n"
    "  status TEXT NOT NULL,\n"
    "  code INTEGER NOT NULL REFERENCES code,\n"
    "  os_errno INTEGER,\n"
    "  offset_stored INTEGER,\n"
    "  count INTEGER NOT NULL,\n"
    "  PRIMARY KEY(scan, position)) STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE rung_name(rung INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
    "INSERT INTO rung_name VALUES (0, 'blob'), (1, 'diffid'), (2, 'archive'), (3, 'encoding'),\n"
    "  (4, 'order'), (5, 'names'), (6, 'times'), (7, 'content');\n"
    "CREATE TABLE facet_name(facet INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;\n"
    "INSERT INTO facet_name VALUES (0, 'content'), (1, 'mode'), (2, 'owner'), (3, 'names'),\n"
    "  (4, 'times'), (5, 'xattrs'), (6, 'other');\n";

/* A digest or a path as text. */
#define NAME_TEXT(column)                                                                          \
    "CASE typeof(" column ") WHEN 'blob' THEN\n"                                                   \
    "  CASE length(" column ") WHEN 32 THEN 'sha256:' ELSE 'sha512:' END || lower(hex(" column     \
    "))\n"                                                                                         \
    "  ELSE " column " END"

#define RUNG_TEXT(rung, digest)                                                                    \
    "CASE WHEN " rung " < 2 THEN 'sha256:' ELSE\n"                                                 \
    "  'varve1.' || (SELECT name FROM rung_name WHERE rung_name.rung = " rung                      \
    ") || ':sha256:' END\n"                                                                        \
    "  || lower(hex(" digest "))"

/* CROSS JOIN keeps SQLite from choosing another order: first what is there several times, which is
 * little, then what that is. */
const struct varve_store_view varve_store_views[] = {
    {"held",
     "SELECT blob.id AS blob, blob.sha256 AS sha256, blob.bytes AS bytes FROM blob WHERE EXISTS\n"
     "  (SELECT 1 FROM location WHERE location.blob = blob.id AND location.gone IS NULL)"},
    {"layers",
     "SELECT source.name AS source, " NAME_TEXT(
         "location.name") " AS name,\n"
                          "  location.status AS status, code.code AS code,\n"
                          "  'sha256:' || lower(hex(blob.sha256)) AS blob, blob.bytes AS bytes,\n"
                          "  layer.bytes_decoded AS bytes_decoded, layer.format AS format, "
                          "layer.entries AS entries,\n"
                          "  layer.writer AS writer, layer.encoder AS encoder, layer.toc AS toc,\n"
                          "  location.referenced AS referenced,\n"
                          "  datetime(location.verified_at, 'unixepoch') AS verified_at\n"
                          "FROM location JOIN source ON source.id = location.source\n"
                          "LEFT JOIN blob ON blob.id = location.blob LEFT JOIN layer ON layer.blob "
                          "= location.blob\n"
                          "LEFT JOIN code ON code.id = location.code\n"
                          "WHERE location.gone IS NULL ORDER BY source.name, location.name"},
    {"rungs",
     "SELECT rung_name.name AS rung, 'sha256:' || lower(hex(blob.sha256)) AS blob,\n"
     "  " RUNG_TEXT("rung.rung", "rung.digest") " AS digest\n"
                                                "FROM rung JOIN rung_name ON rung_name.rung = "
                                                "rung.rung JOIN blob ON blob.id = rung.blob"},
    {"class_members",
     "SELECT several.rung AS rung, several.digest AS digest, held.blob AS blob,\n"
     "  held.sha256 AS sha256, held.bytes AS bytes, coalesce(above.digest, held.sha256) AS above\n"
     "FROM rung CROSS JOIN\n"
     "  (SELECT rung, digest FROM rung GROUP BY rung, digest HAVING count(*) > 1) AS several\n"
     "  ON several.rung = rung.rung AND several.digest = rung.digest\n"
     "CROSS JOIN held ON held.blob = rung.blob\n"
     "LEFT JOIN rung AS above ON above.blob = rung.blob AND above.rung = rung.rung - 1"},
    {"classes",
     "SELECT rung_name.name AS rung, " RUNG_TEXT(
         "members.rung",
         "members.digest") " AS digest,\n"
                           "  count(*) AS layers, count(DISTINCT members.above) AS variants,\n"
                           "  sum(members.bytes) AS bytes, sum(members.bytes) - min(members.bytes) "
                           "AS wasted,\n"
                           "  group_concat('sha256:' || lower(hex(members.sha256)), ' ') AS blobs\n"
                           "FROM class_members AS members JOIN rung_name ON rung_name.rung = "
                           "members.rung\n"
                           "GROUP BY members.rung, members.digest\n"
                           "HAVING count(*) > 1 AND count(DISTINCT members.above) > 1"},
    {"waste", "SELECT rung_name.name AS rung, count(*) AS classes, sum(layers) AS layers,\n"
              "  sum(bytes) AS bytes, sum(wasted) AS wasted FROM (\n"
              "    SELECT 0 AS rung, count(*) AS layers, sum(bytes) AS bytes,\n"
              "      sum(bytes) - max(bytes) AS wasted FROM\n"
              "      (SELECT DISTINCT location.inode AS inode, location.offset AS offset,\n"
              "         location.blob AS blob, blob.bytes AS bytes\n"
              "       FROM location JOIN blob ON blob.id = location.blob\n"
              "       WHERE location.gone IS NULL) GROUP BY blob HAVING count(*) > 1\n"
              "    UNION ALL\n"
              "    SELECT rung, count(*), sum(bytes), sum(bytes) - min(bytes) FROM class_members\n"
              "    GROUP BY rung, digest HAVING count(*) > 1) AS classes\n"
              "JOIN rung_name ON rung_name.rung = classes.rung GROUP BY classes.rung"},
    {"file_waste",
     "SELECT count(*) AS files, count(DISTINCT entry.sha256) AS distinct_files,\n"
     "  sum(entry.size) AS bytes,\n"
     "  sum(entry.size) - (SELECT sum(size) FROM (SELECT max(entry.size) AS size FROM entry\n"
     "    JOIN held ON held.blob = entry.blob WHERE entry.sha256 IS NOT NULL\n"
     "    GROUP BY entry.sha256)) AS saved_by_deduplication\n"
     "FROM entry JOIN held ON held.blob = entry.blob WHERE entry.sha256 IS NOT NULL"},
    {"failures",
     "SELECT location.status AS status, code.code AS code, source.name AS source,\n"
     "  " NAME_TEXT(
         "location.name") " AS name, location.offset_stored AS offset_stored,\n"
                          "  location.offset_decoded AS offset_decoded, code.text AS text,\n"
                          "  (SELECT group_concat(DISTINCT coalesce(nullif(image.ref, ''),\n"
                          "     " NAME_TEXT(
                              "image.digest") ")) FROM reference\n"
                                              "   JOIN image ON image.id = reference.image AND "
                                              "image.gone IS NULL\n"
                                              "   WHERE reference.location = location.id) AS "
                                              "images\n"
                                              "FROM location JOIN source ON source.id = "
                                              "location.source\n"
                                              "LEFT JOIN code ON code.id = location.code\n"
                                              "WHERE location.status <> 'ok' AND location.gone IS "
                                              "NULL\n"
                                              "UNION ALL\n"
                                              "SELECT image.status, code.code, source.name, "
                                              "coalesce(image.document,\n"
                                              "  " NAME_TEXT(
                                                  "image.digest") "), NULL, NULL, code.text,\n"
                                                                  "  coalesce(nullif(image.ref, "
                                                                  "''), " NAME_TEXT(
                                                                      "image.digest") ")\n"
                                                                                      "FROM image "
                                                                                      "JOIN source "
                                                                                      "ON "
                                                                                      "source.id = "
                                                                                      "image."
                                                                                      "source JOIN "
                                                                                      "code ON "
                                                                                      "code.id = "
                                                                                      "image.code\n"
                                                                                      "WHERE "
                                                                                      "image.gone "
                                                                                      "IS NULL"},
    {"top_findings",
     "SELECT code.code AS code, count(*) AS layers, sum(finding.count) AS count,\n"
     "  code.text AS text\n"
     "FROM finding JOIN held ON held.blob = finding.blob JOIN code ON code.id = finding.code\n"
     "GROUP BY finding.code ORDER BY layers DESC, count DESC, code.code"},
    {"writers", "SELECT coalesce(layer.writer, 'none') AS writer, count(*) AS layers,\n"
                "  sum(held.bytes) AS bytes, sum(layer.bytes_decoded) AS bytes_decoded\n"
                "FROM layer JOIN held ON held.blob = layer.blob\n"
                "GROUP BY 1 ORDER BY layers DESC, writer"},
    {"compressors",
     "SELECT layer.compression AS compression, coalesce(layer.encoder, 'unknown') AS compressor,\n"
     "  count(*) AS layers, sum(held.bytes) AS bytes, sum(layer.bytes_decoded) AS bytes_decoded\n"
     "FROM layer JOIN held ON held.blob = layer.blob\n"
     "GROUP BY 1, 2 ORDER BY layers DESC, compression, compressor"},
    {"images", "SELECT source.name AS source, nullif(image.ref, '') AS ref,\n"
               "  " NAME_TEXT(
                   "image.digest") " AS digest, nullif(image.platform, '') AS platform,\n"
                                   "  image.kind AS kind, image.status AS status, "
                                   "count(reference.position) AS layers,\n"
                                   "  sum(blob.bytes) AS bytes\n"
                                   "FROM image JOIN source ON source.id = image.source\n"
                                   "LEFT JOIN reference ON reference.image = image.id\n"
                                   "LEFT JOIN location ON location.id = reference.location\n"
                                   "LEFT JOIN blob ON blob.id = location.blob\n"
                                   "WHERE image.gone IS NULL GROUP BY image.id\n"
                                   "ORDER BY source.name, image.ref, image.platform, image.digest"},
    {"image_classes",
     "SELECT rung_name.name AS rung, 'varve1.image.' || rung_name.name || ':sha256:' ||\n"
     "  lower(hex(members.digest)) AS digest, count(DISTINCT members.manifest) AS manifests,\n"
     "  count(DISTINCT members.above) AS variants, group_concat(DISTINCT members.label) AS images\n"
     "FROM (SELECT image_rung.rung AS rung, image_rung.digest AS digest,\n"
     "        image.digest AS manifest, coalesce(above.digest, image.digest) AS above,\n"
     "        coalesce(nullif(image.ref, ''), " NAME_TEXT(
         "image.digest") ") AS label\n"
                         "      FROM image_rung CROSS JOIN\n"
                         "        (SELECT rung, digest FROM image_rung GROUP BY rung, digest\n"
                         "         HAVING count(*) > 1) AS several\n"
                         "        ON several.rung = image_rung.rung\n"
                         "        AND several.digest = image_rung.digest\n"
                         "      CROSS JOIN image ON image.id = image_rung.image\n"
                         "        AND image.gone IS NULL\n"
                         "      LEFT JOIN image_rung AS above ON above.image = image.id\n"
                         "        AND above.rung = image_rung.rung - 1) AS members\n"
                         "JOIN rung_name ON rung_name.rung = members.rung\n"
                         "GROUP BY members.rung, members.digest\n"
                         "HAVING count(DISTINCT members.manifest) > 1\n"
                         "  AND count(DISTINCT members.above) > 1"},
    {"errors", "SELECT error.status AS status, code.code AS code, error.name AS name,\n"
               "  error.count AS count, code.text AS text\n"
               "FROM error JOIN code ON code.id = error.code ORDER BY error.scan, error.position"},
    {"gone", "SELECT source.name AS source, " NAME_TEXT(
                 "location.name") " AS name,\n"
                                  "  'sha256:' || lower(hex(blob.sha256)) AS blob,\n"
                                  "  datetime(scan.began, 'unixepoch') AS since\n"
                                  "FROM location JOIN source ON source.id = location.source\n"
                                  "JOIN scan ON scan.id = location.gone\n"
                                  "LEFT JOIN blob ON blob.id = location.blob\n"
                                  "WHERE location.gone IS NOT NULL"},
    {"scans",
     "SELECT scan.id AS scan, datetime(scan.began, 'unixepoch') AS began, scan.state AS state,\n"
     "  scan.exit_code AS exit_code, scan.seconds AS seconds, scan.layers AS layers,\n"
     "  scan.layers_failed AS layers_failed, scan.layers_cached AS layers_cached,\n"
     "  scan.images AS images, scan.images_failed AS images_failed, scan.gone AS gone,\n"
     "  scan.errors AS errors, scan.bytes_read AS bytes_read, scan.sources AS sources\n"
     "FROM scan ORDER BY scan.id DESC"},
};
const size_t varve_store_view_count = sizeof varve_store_views / sizeof varve_store_views[0];

static const struct {
    struct varve_query_info info;
    const char *sql;
} questions[] = {
    {{"classes", "layers that differ, and on which rung they first meet", true},
     "SELECT * FROM classes WHERE ?1 IS NULL OR rung = ?1 ORDER BY wasted DESC, digest"},
    {{"waste", "bytes stored more than once, were everything equal on a rung kept once", true},
     "SELECT * FROM waste WHERE ?1 IS NULL OR rung = ?1"},
    {{"files", "what deduplicating files would save (after --entries)", false},
     "SELECT * FROM file_waste"},
    {{"failures", "blobs and documents that fail, and the images they are in", false},
     "SELECT * FROM failures ORDER BY source, name"},
    {{"findings", "findings, the most frequent first", false}, "SELECT * FROM top_findings"},
    {{"writers", "programs that wrote the archives, by their marks", false},
     "SELECT * FROM writers"},
    {{"compressors", "programs that compressed them, by their marks", false},
     "SELECT * FROM compressors"},
    {{"images", "all images", false}, "SELECT * FROM images"},
    {{"twins", "images that differ, and on which rung they first meet", true},
     "SELECT * FROM image_classes WHERE ?1 IS NULL OR rung = ?1 ORDER BY rung, digest"},
    {{"layers", "all layers, under each of their names", false}, "SELECT * FROM layers"},
    {{"errors", "sources, or parts of them, that could not be read; notes", false},
     "SELECT * FROM errors"},
    {{"gone", "blobs that were there once", false}, "SELECT * FROM gone ORDER BY source, name"},
    {{"scans", "the scans, the last one first", false},
     "SELECT scan, began, CASE WHEN state = 'running' AND scan <= ?3 THEN ?4 ELSE state END AS "
     "state,\n"
     "  exit_code, seconds, layers, layers_failed, layers_cached, images, images_failed, gone,\n"
     "  errors, bytes_read, sources FROM scans"},
};
#define QUESTION_COUNT (sizeof questions / sizeof questions[0])

size_t varve_query_count(void) {
    return QUESTION_COUNT;
}

struct varve_query_info varve_query_at(size_t index) {
    return questions[index].info;
}

const char *varve_store_question(const char *name, bool *takes_rung) {
    for (size_t i = 0; i < QUESTION_COUNT; i++) {
        if (strcmp(questions[i].info.name, name) == 0) {
            *takes_rung = questions[i].info.takes_rung;
            return questions[i].sql;
        }
    }
    return NULL;
}
