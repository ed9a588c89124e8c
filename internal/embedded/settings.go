package embedded

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// protocolParams are the query string's words that are no settings.
var protocolParams = []string{
	"query", "database", "default_format", "user", "password", "query_id", "quota_key", "compress", "decompress",
	"client_protocol_version", "wait_end_of_query", "buffer_size", "network_compression_method", "network_zstd_compression_level",
	"enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
	"http_response_buffer_size", "http_write_exception_in_output_format", "add_http_cors_header", "log_queries", "stacktrace",
	"session_id", "session_check", "session_timeout", "close_session", "role", "http_max_field_value_size", "cancel_http_readonly_queries_on_client_close", "readonly",
}

// anyoneSettings may be sent by a client without a password too: they change how
// an answer looks or make a query smaller, and none of them names a file.
var anyoneSettings = []string{
	"max_execution_time", "timeout_overflow_mode", "max_threads", "max_block_size", "max_memory_usage", "max_result_rows", "max_result_bytes",
	"result_overflow_mode", "max_rows_to_read", "max_bytes_to_read", "read_overflow_mode", "max_rows_to_group_by", "group_by_overflow_mode",
	"max_bytes_before_external_group_by", "max_bytes_before_external_sort", "limit", "offset", "extremes", "final", "join_use_nulls",
	"union_default_mode", "session_timezone", "date_time_output_format", "date_time_input_format", "aggregate_functions_null_for_empty",
	"prefer_column_name_to_alias", "group_by_use_nulls", "transform_null_in", "max_query_size", "max_ast_depth", "max_ast_elements",
	"output_format_json_quote_64bit_integers", "output_format_json_quote_64bit_floats", "output_format_json_quote_denormals",
	"output_format_json_quote_decimals", "output_format_json_named_tuples_as_objects", "output_format_json_array_of_rows",
	"output_format_json_escape_forward_slashes", "output_format_json_validate_utf8", "output_format_decimal_trailing_zeros",
	"output_format_csv_crlf_end_of_line", "output_format_tsv_crlf_end_of_line", "output_format_pretty_max_rows", "output_format_pretty_color",
	"output_format_pretty_max_value_width", "output_format_pretty_row_numbers", "output_format_write_statistics", "format_csv_delimiter",
	"format_csv_null_representation", "format_tsv_null_representation", "output_format_parquet_compression_method", "output_format_parquet_string_as_string",
	"output_format_arrow_string_as_string", "output_format_native_write_json_as_string", "bool_true_representation", "bool_false_representation",
	"use_query_cache", "priority", "allow_experimental_analyzer", "enable_analyzer", "optimize_read_in_order", "do_not_merge_across_partitions_select_final",
	"max_final_threads", "use_skip_indexes_if_final", "max_bytes_ratio_before_external_group_by", "max_bytes_ratio_before_external_sort",
}

// writerPrefixes are families that only the writer may set.
var writerPrefixes = []string{
	"insert_", "async_insert", "wait_for_async_insert", "input_format_", "output_format_", "format_", "max_", "min_", "mutations_sync",
	"alter_sync", "deduplicate_", "parallel_", "optimize_", "allow_", "enable_", "use_", "materialize_", "lightweight_", "preferred_", "date_time_",
	"connect_timeout", "receive_timeout", "send_timeout", "lock_acquire_timeout", "flatten_nested", "data_type_default_nullable", "throw_on_",
	"distributed_ddl_", "database_", "cast_", "type_json_", "query_cache_", "merge_tree_", "apply_", "select_sequential_consistency",
}

// setting is one name and value.
type setting struct{ name, value string }

// limits are what a session may use at most.
type limits struct {
	memory     int64 // bytes a query
	threads    int
	readerTime int // seconds a query of a reader may run, when it names no time
	readerCap  int // and at most
}

// requestSettings picks the settings out of a query string. One that is not
// permitted is refused by name: a client that asked for a thing must not get
// another in silence.
func requestSettings(q url.Values, writer bool, lim limits) ([]setting, error) {
	var out []setting
	for name, values := range q {
		if slices.Contains(protocolParams, name) || strings.HasPrefix(name, "param_") || strings.HasPrefix(name, "http_receive") || strings.HasPrefix(name, "http_send") {
			continue
		}
		if !permitted(name, writer) {
			return nil, raise(codeUnknownSetting, "Setting %s is not one that the embedded engine takes from %s; leave it out, or use a ClickHouse server (clickhouse.dsn). (UNKNOWN_SETTING)", name, roleName(writer))
		}
		value := values[len(values)-1]
		if !writer {
			var err error
			if value, err = tightened(name, value, lim); err != nil {
				return nil, err
			}
		}
		out = append(out, setting{name, value})
	}
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func roleName(writer bool) string {
	if writer {
		return "the writer"
	}
	return "a read-only user"
}

func permitted(name string, writer bool) bool {
	for _, c := range []byte(name) {
		if !isWordByte(c) {
			return false
		}
	}
	if slices.Contains(anyoneSettings, name) {
		return true
	}
	return writer && slices.ContainsFunc(writerPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// tightened brings a reader's wish within the limits; it can only ask for less.
func tightened(name, value string, lim limits) (string, error) {
	most := int64(0)
	switch name {
	case "max_execution_time":
		most = int64(lim.readerCap)
	case "max_memory_usage":
		most = lim.memory
	case "max_threads", "max_final_threads":
		most = int64(lim.threads)
	case "max_block_size":
		most = 1 << 20
	case "timeout_overflow_mode":
		return "throw", nil
	case "max_query_size", "max_ast_depth", "max_ast_elements":
		most = 1 << 20
	default:
		return value, nil
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return "", raise(codeBadArguments, "Setting %s: %q is no number. (BAD_ARGUMENTS)", name, value)
	}
	if n <= 0 || n > float64(most) { // 0 means without limit
		return strconv.FormatInt(most, 10), nil
	}
	return value, nil
}

// baseSettings hold for every session of a role.
func baseSettings(writer bool, lim limits) []setting {
	s := []setting{
		{"async_insert", "0"}, {"implicit_select", "0"}, {"allow_introspection_functions", "0"},
		{"max_memory_usage", strconv.FormatInt(lim.memory, 10)}, {"max_threads", strconv.Itoa(lim.threads)},
		{"max_insert_threads", "1"}, {"output_format_pretty_color", "0"},
		{"http_max_tries", "1"},                                                            // the network is shut: do not insist
		{"output_format_parallel_formatting", "0"}, {"input_format_parallel_parsing", "0"}, // half the memory, and faster on few cores
	}
	if !writer {
		s = append(s, setting{"max_execution_time", strconv.Itoa(lim.readerTime)})
	}
	return s
}

// setStatement writes settings as one statement.
func setStatement(all []setting) string {
	var b strings.Builder
	for i, s := range all {
		if i == 0 {
			b.WriteString("SET ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(s.name + " = " + quote(s.value))
	}
	return b.String()
}

// queryParams are the values of {name:Type} placeholders.
func queryParams(q url.Values) []param {
	var ps []param
	for name, values := range q {
		if n, ok := strings.CutPrefix(name, "param_"); ok {
			ps = append(ps, param{n, values[len(values)-1]})
		}
	}
	return ps
}
