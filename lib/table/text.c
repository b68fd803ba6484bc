/* SPDX-License-Identifier: ISC */
/*
 * texthash: "key value" a line, the whole file in memory. words: a file of words apart by blanks or
 * line ends, each a key with an empty value (the form "/path" in lists of domains). inline:,
 * static: and fail: have no file. First of two equal keys counts, as in postmap.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/lines.h"
#include "lib/table/type.h"

static void
fold(struct buf *key)
{
	for (size_t i = 0; i < key->n; i++)
		if (key->p[i] >= 'A' && key->p[i] <= 'Z')
			key->p[i] |= 0x20;
}

/* The first of two equal keys counts, as in postmap. */
static void
keep_first(struct map *m, struct buf *key, struct str value)
{
	fold(key);
	if (map_get(m, buf_view(key)) == NULL)
		map_put(m, buf_view(key), str_dup(value));
}

static void
text_free(void *content)
{
	struct map *m = content;

	map_free(&m, free);
}

static int
read_pairs(struct lines *l, struct map *m, const char *path, struct why *why)
{
	struct buf key;
	struct str line, value;
	int more;

	buf_init(&key, TABLE_KEY_MAX);
	while ((more = lines_next(l, &line, why)) == 1) {
		if (!line_pair(line, &key, &value)) {
			more = why_temp(
			    why, "4.3.0", "%s:%zu: a line is \"key value\"", path, l->first);
			break;
		}
		if (value.n > TABLE_VALUE_MAX) {
			more = why_temp(why, "4.3.0", "%s:%zu: the value is over %d bytes", path,
			    l->first, TABLE_VALUE_MAX);
			break;
		}
		keep_first(m, &key, value);
	}
	buf_free(&key);
	return more;
}

static int
read_words(struct lines *l, struct map *m, const char *path, struct why *why)
{
	struct buf key;
	struct str line, word;
	int more;

	buf_init(&key, TABLE_KEY_MAX);
	while ((more = lines_next(l, &line, why)) == 1) {
		while (str_word(&line, " \t,", &word)) {
			buf_reset(&key);
			if (buf_str(&key, word) == -1) {
				buf_free(&key);
				return why_temp(
				    why, "4.3.0", "%s:%zu: a word is too long", path, l->first);
			}
			keep_first(m, &key, STR_EMPTY);
		}
	}
	buf_free(&key);
	return more;
}

static void *
load_with(const char *path, int (*reader)(struct lines *, struct map *, const char *, struct why *),
    struct why *why)
{
	struct buf text;
	struct lines lines;
	struct map *m = map_new();

	buf_init(&text, TABLE_SIZE_MAX);
	lines_init(&lines, STR_EMPTY);
	if (file_read(AT_FDCWD, path, &text, why) == -1)
		goto fail;
	lines.rest = buf_view(&text);
	if (reader(&lines, m, path, why) == -1)
		goto fail;
	lines_clear(&lines);
	buf_free(&text);
	return m;
fail:
	lines_clear(&lines);
	buf_free(&text);
	text_free(m);
	return NULL;
}

static void *
text_load(KP_UNUSED struct str name, const char *path, struct why *why)
{
	return load_with(path, read_pairs, why);
}

static void *
words_load(KP_UNUSED struct str name, const char *path, struct why *why)
{
	return load_with(path, read_words, why);
}

static int
text_lookup(void *content, struct str key, struct buf *out, struct why *why)
{
	const char *value = map_get(content, key);

	if (value == NULL)
		return TABLE_NONE;
	if (buf_puts(out, value) == -1)
		return why_temp(why, "4.3.0", "a table's value is too long");
	return TABLE_FOUND;
}

const struct table_type table_text = {
    "texthash", "", TABLE_FILE, text_load, text_lookup, text_free};
const struct table_type table_words = {"words", "", TABLE_FILE, words_load, text_lookup, text_free};

/* --- inline: and static:, which need no file --- */

/* "{ text }" is the text within; anything else is itself. */
static struct str
without_braces(struct str s)
{
	s = str_trim(s);
	if (s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}')
		return str_trim(str_sub(s, 1, s.n - 2));
	return s;
}

static bool
is_between(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Cuts the next item off: up to a comma or blank outside braces. -1: a brace is not closed. */
static int
item_next(struct str *rest, struct str *item)
{
	size_t start = 0, end, depth = 0;

	while (start < rest->n && is_between(rest->p[start]))
		start++;
	for (end = start; end < rest->n && (depth > 0 || !is_between(rest->p[end])); end++) {
		depth += rest->p[end] == '{';
		if (rest->p[end] == '}' && depth-- == 0)
			return -1;
	}
	*item = str_sub(*rest, start, end - start);
	*rest = str_from_at(*rest, end);
	return depth > 0 ? -1 : item->n > 0;
}

static int
inline_add(struct map *m, struct str item, struct buf *key, struct why *why)
{
	struct str pair = without_braces(item);
	ptrdiff_t equals = str_chr(pair, '=');
	struct str name = str_trim(str_sub(pair, 0, equals > 0 ? (size_t)equals : 0));

	buf_reset(key);
	if (name.n == 0 || buf_str(key, name) == -1)
		return why_perm(why, NULL, "\"%.*s\" is not key=value", STR_ARG(item));
	keep_first(m, key, str_trim(str_from_at(pair, (size_t)equals + 1)));
	return 0;
}

static void *
inline_load(struct str name, KP_UNUSED const char *path, struct why *why)
{
	struct map *m = map_new();
	struct str rest = without_braces(name), item;
	struct buf key;
	int more;

	buf_init(&key, TABLE_KEY_MAX);
	while ((more = item_next(&rest, &item)) == 1)
		if (inline_add(m, item, &key, why) == -1)
			goto fail;
	if (more == -1) {
		why_perm(why, NULL, "braces do not match");
		goto fail;
	}
	buf_free(&key);
	return m;
fail:
	buf_free(&key);
	text_free(m);
	return NULL;
}

static void *
static_load(struct str name, KP_UNUSED const char *path, KP_UNUSED struct why *why)
{
	return str_dup(without_braces(name));
}

static int
static_lookup(void *content, KP_UNUSED struct str key, struct buf *out, struct why *why)
{
	return buf_puts(out, content) == -1 ? why_temp(why, "4.3.0", "a table's value is too long")
					    : TABLE_FOUND;
}

static int
fail_lookup(void *content, KP_UNUSED struct str key, KP_UNUSED struct buf *out, struct why *why)
{
	return why_temp(why, "4.3.0", "table fail:%s always fails", (const char *)content);
}

const struct table_type table_inline = {"inline", "", 0, inline_load, text_lookup, text_free};
const struct table_type table_static = {"static", "", 0, static_load, static_lookup, free};
const struct table_type table_fail = {"fail", "", 0, static_load, fail_lookup, free};
