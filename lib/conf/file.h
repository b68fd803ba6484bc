/* SPDX-License-Identifier: ISC */
/*
 * The text of kingpost.conf: `setting = value`, `include PATH`, `service NAME {` ... `}`, #
 * comments. A line that is indented deeper than the one that began a setting continues it. Every
 * fault of the file is found in one reading.
 */
#ifndef KP_CONF_FILE_H
#define KP_CONF_FILE_H

#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;

struct conf_place {
	const char *file; /* owned by the conf_file */
	unsigned line;    /* 0: not from a file (--set) */
};

struct conf_entry {
	char *name, *value;
	size_t section; /* 0: global; n: sections[n - 1] */
	struct conf_place place;
};

struct conf_section {
	char *name;
	struct conf_place place;
};

struct conf_file {
	struct conf_entry *entries;
	size_t nentries;
	struct conf_section *sections;
	size_t nsections;
	char **names; /* of the files read */
	size_t nnames;
	size_t faults;
};

/* Reads `path` and what it includes. Each fault is a line "file:line: what" in `errors`, counted in
 * `faults`. The caller frees. */
struct conf_file *conf_file_read(const char *path, struct buf *errors) KP_MUST_USE;

/* The same from text, under the name `path`: for tests and the fuzz target; includes are not
 * followed. */
struct conf_file *conf_file_parse(
    const char *path, struct str text, struct buf *errors) KP_MUST_USE;

void conf_file_free(struct conf_file **cfp);

#endif
