-- One statement a line that a reader must not get through. {dir} is a directory with a readable secret.txt, {t} a table.
INSERT INTO {t} VALUES (1, 'x')
INSERT INTO {t} SELECT 1, 'x'
INSERT INTO FUNCTION file('{dir}/out', 'TSV', 'x String') SELECT 'x'
INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'TSV', 'x String') SELECT 'x'
CREATE TABLE hostile (a Int8) ENGINE = MergeTree ORDER BY a
CREATE TEMPORARY TABLE hostile (a Int8)
CREATE VIEW hostile AS SELECT 1
CREATE DATABASE hostile
CREATE FUNCTION hostile AS (x) -> file(x)
CREATE DICTIONARY hostile (a String) PRIMARY KEY a SOURCE(FILE(path '{dir}/secret.txt' format 'TSV')) LAYOUT(FLAT()) LIFETIME(0)
CREATE USER hostile
CREATE ROLE hostile
GRANT ALL ON *.* TO default
ALTER TABLE {t} DELETE WHERE 1
ALTER TABLE {t} ADD COLUMN hostile Int8
ALTER TABLE {t} UPDATE s = 'x' WHERE 1
DELETE FROM {t} WHERE 1
DROP TABLE {t}
DROP DATABASE tokentide
TRUNCATE TABLE {t}
RENAME TABLE {t} TO hostile
EXCHANGE TABLES {t} AND {t}
OPTIMIZE TABLE {t} FINAL
DETACH TABLE {t}
ATTACH TABLE {t}
KILL QUERY WHERE 1
KILL QUERY WHERE query_id != '' SYNC
KILL MUTATION WHERE 1
SYSTEM STOP MERGES
SYSTEM FLUSH LOGS
SYSTEM RELOAD DICTIONARIES
SYSTEM SHUTDOWN
SET readonly = 0
SET max_execution_time = 0
SET max_result_rows = 0, readonly = 0
SET ROLE writer
SET ROLE ALL
SET ROLE DEFAULT
USE system
EXECUTE AS default
BACKUP TABLE {t} TO File('{dir}/out')
BEGIN TRANSACTION
SELECT 1 SETTINGS readonly = 0
SELECT 1 SETTINGS max_execution_time = 0
SELECT * FROM numbers(5) SETTINGS max_result_rows = 0
SELECT 1 INTO OUTFILE '{dir}/out'
SHOW TABLES INTO OUTFILE '{dir}/out'
DESCRIBE TABLE {t} INTO OUTFILE '{dir}/out'
EXPLAIN SELECT 1 INTO OUTFILE '{dir}/out'
(SELECT 1 INTO OUTFILE '{dir}/out')
SELECT 1; DROP TABLE {t}
SELECT 1; SELECT 2
SELECT file('{dir}/secret.txt')
SELECT FILE('{dir}/secret.txt')
SELECT `file`('{dir}/secret.txt')
SELECT `fi\x6ce`('{dir}/secret.txt')
SELECT "file"('{dir}/secret.txt')
SELECT file /* */ ('{dir}/secret.txt')
SELECT (SELECT file('{dir}/secret.txt'))
SELECT arrayMap(x -> file(x), ['{dir}/secret.txt'])
SELECT arrayMap(file, ['{dir}/secret.txt'])
SELECT arrayMap(`file`, ['{dir}/secret.txt'])
SELECT * APPLY(file) FROM (SELECT '{dir}/secret.txt' AS x)
SELECT * APPLY file FROM (SELECT '{dir}/secret.txt' AS x)
SELECT COLUMNS('x') APPLY(x -> file(x)) FROM (SELECT '{dir}/secret.txt' AS x)
SELECT * REPLACE(file(x) AS x) FROM (SELECT '{dir}/secret.txt' AS x)
WITH file('{dir}/secret.txt') AS f SELECT f
WITH (x -> file(x)) AS f SELECT f('{dir}/secret.txt')
EXPLAIN SELECT file('{dir}/secret.txt')
EXPLAIN SYNTAX SELECT file('{dir}/secret.txt')
EXPLAIN QUERY TREE SELECT file('{dir}/secret.txt')
SELECT * FROM (EXPLAIN SELECT file('{dir}/secret.txt'))
SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('{dir}/secret.txt')))
SELECT * FROM view(SELECT file('{dir}/secret.txt'))
SELECT 1 FROM numbers(1) WHERE file('{dir}/secret.txt') != ''
SELECT 1 FROM numbers(1) ORDER BY file('{dir}/secret.txt')
SELECT 1 IN (SELECT length(file('{dir}/secret.txt')))
SELECT * FROM file('{dir}/secret.txt', 'TSV', 'x String')
SELECT * FROM file('{dir}/secret.txt')
DESCRIBE file('{dir}/secret.txt')
DESCRIBE TABLE url('http://127.0.0.1:1/x')
SELECT * FROM fileCluster('default', '{dir}/secret.txt', 'TSV', 'x String')
SELECT * FROM filesystem('{dir}')
SELECT * FROM default.`{dir}/secret.txt`
SELECT * FROM `default`.`secret.txt`
SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'x String')
SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'TSV', 'x String')
SELECT * FROM gcs('http://127.0.0.1:1/bucket/key', 'TSV', 'x String')
SELECT * FROM hdfs('hdfs://127.0.0.1:1/key', 'TSV', 'x String')
SELECT * FROM azureBlobStorage('x', 'y', 'z')
SELECT * FROM remote('127.0.0.1', system.one)
SELECT * FROM remoteSecure('127.0.0.1', system.one)
SELECT * FROM cluster('default', system.one)
SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')
SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')
SELECT * FROM sqlite('{dir}/x.db', 't')
SELECT * FROM mongodb('127.0.0.1:1', 'd', 'c', 'u', 'p', 'x String')
SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')
SELECT * FROM odbc('DSN=x', 't')
SELECT * FROM jdbc('jdbc:x', 't')
SELECT * FROM deltaLake('http://127.0.0.1:1/x')
SELECT * FROM icebergLocal('{dir}')
SELECT * FROM executable('cat', 'TSV', 'x String')
SELECT * FROM executable('/bin/cat {dir}/secret.txt', 'TSV', 'x String')
SELECT * FROM Python(os)
SELECT * FROM python('self')
SELECT * FROM arrowstream('x')
SELECT * FROM eval('SELECT 1')
SELECT * FROM loop(numbers(3)) LIMIT 10
SELECT catboostEvaluate('{dir}/secret.txt', 1)
SELECT getServerSetting('path')
SELECT addressToLine(1)
SELECT sleep(3)
SELECT aiGenerate('x')
SELECT * FROM system.users
SELECT * FROM system.server_settings
SELECT * FROM system.stack_trace
SELECT * FROM system.named_collections
SELECT count() FROM numbers(1000000000000)
SELECT number FROM numbers(1000001) FORMAT JSON
SELECT * FROM merge('system', 'stack')
SELECT * FROM mergeTreeTextIndex('tokentide', '{t}', 'x')
SELECT groupArray(number) FROM numbers(2000000000)
