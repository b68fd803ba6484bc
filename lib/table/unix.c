/* SPDX-License-Identifier: ISC */
/*
 * The system's users and groups as tables, in the form of a line of passwd(5) and group(5). The
 * calls go through NSS and may block: router asks program tables instead, commands call them here.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/type.h"

enum { NSS_MAX = 256 * 1024 };

static const char *const maps[] = {"passwd.byname", "passwd.byuid", "group.byname"};

static void *
passwd_load(struct str name, KP_UNUSED const char *path, struct why *why)
{
	for (size_t i = 0; i < NELEM(maps); i++)
		if (str_is(name, maps[i]))
			return str_dup(name);
	why_perm(why, NULL, "there is passwd.byname, passwd.byuid and group.byname");
	return NULL;
}

static int
passwd_line(const struct passwd *pw, struct buf *out)
{
	return buf_printf(out, "%s:x:%u:%u:%s:%s:%s", pw->pw_name, pw->pw_uid, pw->pw_gid,
	    pw->pw_gecos != NULL ? pw->pw_gecos : "", pw->pw_dir, pw->pw_shell);
}

static int
find_user(struct str map, const char *key, char *room, size_t size, struct buf *out, int *error)
{
	struct passwd pw, *found = NULL;
	uint64_t uid;

	if (str_is(map, "passwd.byname"))
		*error = getpwnam_r(key, &pw, room, size, &found);
	else if (str_u64(str_from(key), UINT32_MAX, &uid))
		*error = getpwuid_r((uid_t)uid, &pw, room, size, &found);
	if (found != NULL && passwd_line(found, out) == -1)
		*error = E2BIG;
	return found != NULL;
}

static int
find_group(const char *key, char *room, size_t size, struct buf *out, int *error)
{
	struct group gr, *found = NULL;

	*error = getgrnam_r(key, &gr, room, size, &found);
	if (found == NULL)
		return 0;
	if (buf_printf(out, "%s:x:%u:", found->gr_name, found->gr_gid) == -1)
		*error = E2BIG;
	for (char **member = found->gr_mem; *error == 0 && *member != NULL; member++)
		if (buf_printf(out, "%s%s", member == found->gr_mem ? "" : ",", *member) == -1)
			*error = E2BIG;
	return 1;
}

/* getpwnam_r(3): these mean that there is no such entry. */
static bool
is_absence(int error)
{
	return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

int
unix_lookup(struct str map, struct str key, struct buf *out, struct why *why)
{
	char *name = str_dup(key), *room = xmalloc(NSS_MAX);
	int error = 0, found;

	buf_reset(out);
	if (str_is(map, "group.byname"))
		found = find_group(name, room, NSS_MAX, out, &error);
	else
		found = find_user(map, name, room, NSS_MAX, out, &error);
	free(room);
	free(name);
	if (found && error == 0)
		return TABLE_FOUND;
	if (!found && is_absence(error))
		return TABLE_NONE;
	errno = error;
	return why_sys(why, "4.3.0", "look up \"%.*s\" in unix:%.*s", STR_ARG(key), STR_ARG(map));
}

static int
passwd_lookup(void *content, struct str key, struct buf *out, struct why *why)
{
	return unix_lookup(str_from(content), key, out, why);
}

const struct table_type table_passwd = {"unix", "", TABLE_UNIX, passwd_load, passwd_lookup, free};
