/** Builds what fresh machines start from, one after the other and behind everything else that runs. */
import { constants, setPriority } from 'node:os'
import { buildFurnishedDebian, SUITES } from './layers.ts'

setPriority(constants.priority.PRIORITY_LOW)
for (const suite of SUITES) buildFurnishedDebian(suite)
