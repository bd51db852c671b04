/* finale: how a seed ends, and the last look at what it has left. */
#ifndef ROGER_SIM_FINALE_H
#define ROGER_SIM_FINALE_H

#include "stage.h"

/* Faults stop; what is left to send arrives (liveness), or everybody is stopped; then the journal is read as a whole, the power is cut
 * once more, a server opens it again, and it is read once more. */
void finale_run(struct stage *stage, uint64_t *ret_records);

/* Only a part of it: everybody is stopped, a server opens the journal, it is read. */
void finale_look_once(struct stage *stage, uint64_t *ret_records);

/* Everything of the seed goes. */
void stage_clear(struct stage *stage);

#endif
