/* SPDX-License-Identifier: ISC */
/*
 * Accounts. A user comes from program tables as a line of passwd(5); a virtual mailbox from
 * virtual_mailbox_maps, _uid_maps and _gid_maps. An incomplete answer is "could not tell": the
 * operator has work to do, the mail waits.
 */
#include "router/mailbox.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/msg/fields.h"
#include "router/route.h"

enum { NAME, PASSWORD, UID, GID, GECOS, HOME, SHELL, PASSWD_FIELDS };

static int
passwd_split(struct str line, struct str fields[static PASSWD_FIELDS])
{
	for (size_t i = 0; i < PASSWD_FIELDS; i++) {
		ptrdiff_t colon = str_chr(line, ':');
		bool last = i == PASSWD_FIELDS - 1;
		if (last != (colon < 0))
			return -1;
		fields[i] = last ? line : str_sub(line, 0, (size_t)colon);
		line = str_from_at(line, last ? line.n : (size_t)colon + 1);
	}
	return 0;
}

static int
passwd_read(struct str line, struct mailbox *box, struct why *why)
{
	struct str f[PASSWD_FIELDS];

	if (passwd_split(line, f) == -1 || !str_u64(f[UID], UINT32_MAX, &box->uid) ||
	    !str_u64(f[GID], UINT32_MAX, &box->gid) ||
	    !str_copy(box->user, sizeof box->user, f[NAME]) ||
	    !str_copy(box->home, sizeof box->home, f[HOME]) ||
	    !str_copy(box->shell, sizeof box->shell, f[SHELL]))
		return why_temp(why, "4.3.5", "a user's entry in the system is malformed");
	return TABLE_FOUND;
}

int
mailbox_of_user(struct query *q, struct str name, struct mailbox *box, struct why *why)
{
	struct buf line;
	int answer;

	q->used_unix = true;
	buf_init(&line, TABLE_VALUE_MAX);
	answer = q->asker.ask(q->asker.arg, STR("passwd.byname"), name, &line, why);
	if (answer == TABLE_FOUND)
		answer = passwd_read(buf_view(&line), box, why);
	buf_free(&line);
	return answer;
}

static int
number_find(struct query *q, enum router_maps maps, const struct address *a, uint64_t least,
    const char *what, uint64_t *value, struct why *why)
{
	struct buf text;

	buf_init(&text, TABLE_VALUE_MAX);
	int answer = query_address(q, maps, a, KEYS_DOMAIN, &text, NULL, why);
	if (answer == TABLE_NONE)
		answer = why_temp(why, "4.3.5", "there is no %s for the mailbox of %.*s", what,
		    STR_ARG(a->whole));
	else if (answer == TABLE_FOUND &&
		 (!str_u64(str_trim(buf_view(&text)), UINT32_MAX - 1, value) || *value < least))
		answer = why_temp(why, "4.3.5",
		    "the %s \"%.32s\" for the mailbox of %.*s is none, or below %llu", what,
		    buf_cstr(&text), STR_ARG(a->whole), (unsigned long long)least);
	buf_free(&text);
	return answer;
}

/* No way out of virtual_mailbox_base: the path comes from a table, which may hold what a user
 * typed. */
static bool
leads_out(const char *path)
{
	struct str rest = str_from(path), part;

	while (str_word(&rest, "/", &part))
		if (str_is(part, ".."))
			return true;
	return false;
}

static int
path_make(struct query *q, struct str found, struct mailbox *box, struct why *why)
{
	const char *base = q->r->conf->virtual_mailbox_base;
	bool absolute = base[0] == '/';
	int n = snprintf(box->path, sizeof box->path, "%s%s%s/%.*s", absolute ? "" : q->r->root,
	    absolute ? "" : "/", base, STR_ARG(found));
	int h = snprintf(box->home, sizeof box->home, "%s%s%s", absolute ? "" : q->r->root,
	    absolute ? "" : "/", base);

	if (base[0] == '\0')
		return why_temp(why, "4.3.5", "virtual_mailbox_base is not set");
	if (n < 0 || (size_t)n >= sizeof box->path || h < 0 || (size_t)h >= sizeof box->home ||
	    leads_out(box->path))
		return why_temp(why, "4.3.5",
		    "the path of a virtual mailbox is too long, or leads out of "
		    "virtual_mailbox_base");
	return TABLE_FOUND;
}

int
mailbox_of_address(struct query *q, struct str address, struct mailbox *box, struct why *why)
{
	char complete[MSG_ADDRESS_MAX + 1];
	struct buf path;

	if (route_rewrite(q->r, address, complete, why) == -1)
		return TABLE_NONE;
	struct address a =
	    address_split(str_from(complete), q->r->conf->common.recipient_delimiter);
	buf_init(&path, sizeof box->path);
	int answer = query_address(q, MAPS_VIRTUAL_MAILBOX, &a, KEYS_DOMAIN, &path, NULL, why);
	if (answer == TABLE_FOUND)
		answer = path_make(q, buf_view(&path), box, why);
	buf_free(&path);
	if (answer == TABLE_FOUND)
		answer = number_find(q, MAPS_VIRTUAL_UID, &a,
		    (uint64_t)q->r->conf->virtual_minimum_uid, "uid", &box->uid, why);
	if (answer == TABLE_FOUND)
		answer = number_find(q, MAPS_VIRTUAL_GID, &a, 1, "gid", &box->gid, why);
	return answer;
}
