/* SPDX-License-Identifier: ISC */
/*
 * The settings tables. Each program has one (settings.c); parser, checks, `kingpost conf` and the
 * manual page are made from the rows, and a setting appears in one row and nowhere else.
 */
#ifndef KP_CONF_SETTING_H
#define KP_CONF_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct why;

enum setting_type {
	SETTING_TIME,    /* int64_t, milliseconds; written "30s", "5m", "4h", "5d", "1w", "100ms"; a
			    bare number is seconds */
	SETTING_SIZE,    /* int64_t, bytes; written "10M", "64K", "1G" */
	SETTING_INT,     /* int64_t */
	SETTING_BOOL,    /* bool; yes or no */
	SETTING_TEXT,    /* char *, owned by the struct; "" for nothing */
	SETTING_COMMAND, /* as TEXT, for a shell: its $ are the shell's, and no setting's */
	SETTING_LIST, /* struct setting_list; separated by commas or blanks, { } keeps one together
		       */
	SETTING_WORD, /* int64_t, index into `words` */
};

struct setting_list {
	char **items; /* owned */
	size_t n;
};

struct setting {
	const char *name;
	enum setting_type type;
	size_t offset; /* in the program's struct */
	const char *def;
	int64_t min, max; /* TIME in ms, SIZE, INT */
	const char *const
	    *words;       /* WORD: the choices, ended by NULL; LIST: of each item, or NULL */
	const char *help; /* one line */
};

/* A program's whole table. `common` settings are those of lib/conf/common.h, which stand first in
 * every struct. */
struct settings {
	const char *program;
	const struct setting *rows;
	size_t n;
	size_t struct_size;
};

/* For the rows: the member of the struct bears the setting's name. S is the struct's tag. */
#define SETTING_TIME_ROW(S, name, def, min_ms, max_ms, help)                                    \
	{                                                                                       \
#name, SETTING_TIME, offsetof(struct S, name), (def), (min_ms), (max_ms), NULL, \
		    (help)                                                                      \
	}
#define SETTING_SIZE_ROW(S, name, def, min, max, help)                                           \
	{                                                                                        \
#name, SETTING_SIZE, offsetof(struct S, name), (def), (min), (max), NULL, (help) \
	}
#define SETTING_INT_ROW(S, name, def, min, max, help)                                           \
	{                                                                                       \
#name, SETTING_INT, offsetof(struct S, name), (def), (min), (max), NULL, (help) \
	}
#define SETTING_BOOL_ROW(S, name, def, help)                                             \
	{                                                                                \
#name, SETTING_BOOL, offsetof(struct S, name), (def), 0, 0, NULL, (help) \
	}
#define SETTING_TEXT_ROW(S, name, def, help)                                             \
	{                                                                                \
#name, SETTING_TEXT, offsetof(struct S, name), (def), 0, 0, NULL, (help) \
	}
#define SETTING_COMMAND_ROW(S, name, def, help)                                             \
	{                                                                                   \
#name, SETTING_COMMAND, offsetof(struct S, name), (def), 0, 0, NULL, (help) \
	}
#define SETTING_LIST_ROW(S, name, def, help)                                             \
	{                                                                                \
#name, SETTING_LIST, offsetof(struct S, name), (def), 0, 0, NULL, (help) \
	}
#define SETTING_WORDS_ROW(S, name, def, words, help)                                        \
	{                                                                                   \
#name, SETTING_LIST, offsetof(struct S, name), (def), 0, 0, (words), (help) \
	}
#define SETTING_WORD_ROW(S, name, def, words, help)                                         \
	{                                                                                   \
#name, SETTING_WORD, offsetof(struct S, name), (def), 0, 0, (words), (help) \
	}

/* Finds a row by name, or NULL. */
const struct setting *settings_find(const struct settings *s, struct str name);

/*
 * Parses one value into the struct (the value before, if any, is freed). -1 with `why` ("what was
 * expected") where it is malformed or out of range; the struct is then as before. `conf` may be
 * NULL: checks only.
 */
int setting_set(
    const struct setting *row, void *conf, struct str value, struct why *why) KP_MUST_USE;

/* Sets every row to its default; a default with $name in it is expanded by master before. The
 * struct starts zeroed. */
void settings_init(const struct settings *s, void *conf);
void settings_clear(const struct settings *s, void *conf);

/* The value as one would write it. */
void setting_show(const struct setting *row, const void *conf, struct buf *out);

#endif
