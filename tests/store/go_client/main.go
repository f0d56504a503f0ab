// Asks a store through clickhouse-go over HTTP, as Grafana's plugin does, and prints what it read as JSON lines.
package main

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

type reading struct {
	Compression string    `json:"compression"`
	Rows        int       `json:"rows"`
	Last        uint64    `json:"last"`
	At          time.Time `json:"at"`
	Text        string    `json:"text"`
	ErrorCode   int32     `json:"error_code"`
}

func read(address, user string, method clickhouse.CompressionMethod) (reading, error) {
	result := reading{Compression: method.String()}
	db := clickhouse.OpenDB(&clickhouse.Options{
		Addr:        []string{address},
		Protocol:    clickhouse.HTTP,
		Auth:        clickhouse.Auth{Database: "tokentide", Username: user},
		Compression: &clickhouse.Compression{Method: method},
		Settings:    clickhouse.Settings{"max_execution_time": 60},
	})
	defer db.Close()
	rows, err := db.Query(
		"SELECT number, toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC'), toLowCardinality('ü') FROM numbers(?)", 200000)
	if err != nil {
		return result, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&result.Last, &result.At, &result.Text); err != nil {
			return result, err
		}
		result.Rows++
	}
	if err := rows.Err(); err != nil {
		return result, err
	}
	var exception *clickhouse.Exception
	if _, err := db.Query("SELECT no_such_column"); errors.As(err, &exception) {
		result.ErrorCode = exception.Code
	}
	return result, nil
}

func main() {
	out := json.NewEncoder(os.Stdout)
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone, clickhouse.CompressionLZ4} {
		result, err := read(os.Args[1], os.Args[2], method)
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		if err := out.Encode(result); err != nil {
			os.Exit(1)
		}
	}
}
