/* SPDX-License-Identifier: ISC */
/* Addresses as keys of tables: which parts are asked, and in which order (Postfix's). */
#ifndef KP_TABLE_ADDRESS_H
#define KP_TABLE_ADDRESS_H

#include <stdbool.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/table/table.h"

/* An address in its parts; all point into the address. */
struct address {
	struct str whole;
	struct str local;     /* up to the last @, extension included */
	struct str user;      /* the local part without its extension */
	struct str extension; /* behind the delimiter, "" where there is none */
	struct str domain;    /* "" where there is no @ */
	bool has_extension;
};

/*
 * Splits at the last @, and the local part at the first byte of `delimiters` that stands neither
 * first nor in names that keep theirs whole (owner-NAME and NAME-request where '-' is a delimiter,
 * postmaster and mailer-daemon).
 */
struct address address_split(struct str text, const char *delimiters);

enum address_keys {
	KEYS_LOCAL = 1 << 0,  /* also user+ext and user alone: the domain is our own */
	KEYS_DOMAIN = 1 << 1, /* also @domain */
	KEYS_ROUTE = 1 << 2,  /* also domain, .parent of each level, and "*" (transport(5)) */
};

/* How it was found. */
struct address_found {
	const struct table *table;
	bool extension_unmatched; /* the key had no extension although the address has one */
	char key[TABLE_KEY_MAX + 1];
};

/*
 * Asks for user+ext@domain, user@domain, then what `keys` allow. Pattern tables are asked for the
 * whole address alone, each Unix table for names without @. Answers as tables_lookup(); `*found`
 * may be NULL.
 */
int address_lookup(const struct table_list *tables, const struct address *a, unsigned keys,
    const struct table_asker *asker, struct buf *out, struct address_found *found,
    struct why *why) KP_MUST_USE;

#endif
