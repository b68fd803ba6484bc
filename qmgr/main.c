/* SPDX-License-Identifier: ISC */
/*
 * qmgr schedules every delivery.
 *
 * Privilege: user kp-queue; owns the queue and opens nothing else. Trusted: router's routes.
 * Checked: what cleanup announces (against the disk), what remote, local and bounce report (against
 * what they were given). Hostile: callers of the queue socket.
 */
#include "lib/service/service.h"
#include "qmgr/conf.h"
#include "qmgr/sandbox.h"
#include "qmgr/server.h"

static const struct service_table table = {
    .program = PROGRAM_QMGR,
    .tag = "qmgr",
    .settings = &qmgr_settings,
    .sandbox = &qmgr_sandbox,
    .peers = server_peers,
    .open = server_open,
    .start = server_start,
    .on_listener = server_listener,
    .on_stop = server_stop,
    .on_reload = server_reload,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &table);
}
