/* SPDX-License-Identifier: ISC */
/*
 * cleanup turns a submitted message into a durable queue entry.
 *
 * Privilege: user kp-cleanup, group kp-queue; may create and write below queue/new, and nothing
 * else of the file system. Trusted: what qmgr says of segments, router's routes. Hostile: all
 * content and envelopes, whoever passes them on.
 */
#include "cleanup/conf.h"
#include "cleanup/sandbox.h"
#include "cleanup/server.h"
#include "lib/service/service.h"

static const struct service_table table = {
    .program = PROGRAM_CLEANUP,
    .tag = "cleanup",
    .settings = &cleanup_settings,
    .sandbox = &cleanup_sandbox,
    .peers = server_peers,
    .open = server_open,
    .start = server_start,
    .on_stop = server_stop,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
