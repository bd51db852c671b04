/* scenario: one seed, from an empty disk to the last check. */
#ifndef ROGER_SIM_SCENARIO_H
#define ROGER_SIM_SCENARIO_H

#include <stdint.h>

#include "fault.h"

struct scenario_result {
	enum sim_mode mode;
	uint64_t hash;         /* of the trace */
	uint64_t completions;  /* events that the loops have taken */
	uint64_t acknowledged; /* messages */
	uint64_t records;      /* in the journal at the end */
	unsigned crashes;      /* kills of servers and power cuts */
};

/* mode: MODES: the seed decides. Does not return when an invariant is broken (world_fail). */
void scenario_run(uint64_t seed, enum sim_mode mode, struct scenario_result *ret);

#endif
