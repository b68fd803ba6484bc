/* SPDX-License-Identifier: ISC */
/*
 * Tables' privileges: its own user, threads, and what libraries of NSS need: files to read
 * (modules, databases), sockets to local services (nscd, sssd, userdb) and to directories in the
 * network.
 */
#include "lib/sandbox/sandbox.h"

#include "tables/tables.h"

static const struct sandbox_path paths[] = {
    {"/etc",		SANDBOX_READ                },
    {"/lib",		SANDBOX_READ | SANDBOX_EXEC },
    {"/lib64",              SANDBOX_READ | SANDBOX_EXEC },
    {"/usr/lib",            SANDBOX_READ | SANDBOX_EXEC },
    {"/usr/local/lib",      SANDBOX_READ | SANDBOX_EXEC },
    {"/usr/lib64",          SANDBOX_READ | SANDBOX_EXEC },
    {"/usr/share/zoneinfo", SANDBOX_READ                },
    {"/run",		SANDBOX_READ | SANDBOX_WRITE},
    {"/var/lib/sss",        SANDBOX_READ | SANDBOX_WRITE},
    {"/var/lib/extrausers", SANDBOX_READ                },
    {"/proc/self",          SANDBOX_READ                },
    {NULL,		  0			   },
};

const struct sandbox tables_sandbox = {
    .user = "kp-tables",
    .calls = SANDBOX_NET | SANDBOX_FILES | SANDBOX_THREADS | SANDBOX_NSS,
    .paths = paths,
};
