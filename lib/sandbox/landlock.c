/* SPDX-License-Identifier: ISC */
/*
 * Landlock by its system calls: libc has no wrappers, and Debian 12's header knows less than its
 * successors' kernels, so the rights are named here and masked by what the running kernel says it
 * has (its ABI number).
 */
#include "lib/sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/attr.h"
#include "lib/base/layout.h"
#include "lib/base/why.h"
#include "lib/sandbox/sandbox.h"

enum { NO_LANDLOCK = -2 };

#define RIGHT_REFER (1ULL << 13)    /* ABI 2 */
#define RIGHT_TRUNCATE (1ULL << 14) /* ABI 3 */

#define RIGHTS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE)
#define RIGHTS_CREATE (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | RIGHT_REFER)
#define RIGHTS_REMOVE (LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | RIGHT_REFER)
#define RIGHTS_FILE                                                     \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	    LANDLOCK_ACCESS_FS_EXECUTE | RIGHT_TRUNCATE)

static const struct {
	unsigned access;
	unsigned long long rights;
} meaning[] = {
    {SANDBOX_READ,   RIGHTS_READ                             },
    {SANDBOX_WRITE,  RIGHTS_WRITE                            },
    {SANDBOX_CREATE, RIGHTS_CREATE                           },
    {SANDBOX_REMOVE, RIGHTS_REMOVE                           },
    {SANDBOX_EXEC,   LANDLOCK_ACCESS_FS_EXECUTE | RIGHTS_READ},
    {SANDBOX_MKDIR,  LANDLOCK_ACCESS_FS_MAKE_DIR             },
};

static unsigned long long
known_rights(long abi)
{
	unsigned long long rights = (1ULL << 13) - 1;

	if (abi >= 2)
		rights |= RIGHT_REFER;
	if (abi >= 3)
		rights |= RIGHT_TRUNCATE;
	return rights;
}

/* Where a path of the table lies: below the instance's spool, run or log folder, or as it is
 * written. */
static int
place_of(const char *path, const char *root, char *full, size_t size, struct why *why)
{
	struct layout layout;

	if (layout_of(&layout, root, why) == -1)
		return -1;
	const struct {
		const char *name, *folder;
	} places[] = {
	    {"spool",    layout.spool   },
            {"run",      layout.run     },
            {"log",      layout.log     },
	    {"programs", layout.programs}
        };
	snprintf(full, size, path[0] == '/' ? "%.0s%s" : "%s/%s", root, path);
	for (size_t i = 0; i < NELEM(places); i++) {
		size_t n = strlen(places[i].name);
		if (strncmp(path, places[i].name, n) == 0 && (path[n] == '/' || path[n] == '\0'))
			snprintf(full, size, "%s%s", places[i].folder, path + n);
	}
	return 0;
}

static int
add_path(int ruleset, const struct sandbox_path *path, const char *root, unsigned long long known,
    struct why *why)
{
	char full[PATH_MAX];
	unsigned long long rights = 0;
	struct stat st;

	if (place_of(path->path, root, full, sizeof full, why) == -1)
		return -1;
	int fd = open(full, O_PATH | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT || errno == EACCES
			   ? 0
			   : why_sys(why, NULL, "sandbox: open %s", full);
	for (size_t i = 0; i < NELEM(meaning); i++)
		if ((path->access & meaning[i].access) != 0)
			rights |= meaning[i].rights;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rights &= RIGHTS_FILE;
	struct landlock_path_beneath_attr rule = {
	    .allowed_access = rights & known, .parent_fd = fd};
	long result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	if (result == -1)
		why_sys(why, NULL, "sandbox: landlock rule for %s", full);
	close(fd);
	return result == -1 ? -1 : 0;
}

static int
add_paths(int ruleset, const struct sandbox_path *paths, const char *root, unsigned long long known,
    struct why *why)
{
	for (; paths != NULL && paths->path != NULL; paths++)
		if (add_path(ruleset, paths, root, known, why) == -1)
			return -1;
	return 0;
}

int
landlock_prepare(const struct sandbox_path *paths, const struct sandbox_path *more,
    const char *root, struct why *why)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi == -1)
		return errno == ENOSYS || errno == EOPNOTSUPP
			   ? NO_LANDLOCK
			   : why_sys(why, NULL, "sandbox: landlock");
	unsigned long long known = known_rights(abi);
	struct landlock_ruleset_attr attr = {.handled_access_fs = known};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (ruleset == -1)
		return why_sys(why, NULL, "sandbox: landlock ruleset");
	if (add_paths(ruleset, paths, root, known, why) == 0 &&
	    add_paths(ruleset, more, root, known, why) == 0)
		return ruleset;
	close(ruleset);
	return -1;
}

int
landlock_enter(int ruleset, struct why *why)
{
	long result = syscall(SYS_landlock_restrict_self, ruleset, 0);

	if (result == -1)
		why_sys(why, NULL, "sandbox: landlock");
	close(ruleset);
	return result == -1 ? -1 : 0;
}
