/**
 * The main job, end to end, in namespaces: unmodified clients, the real kernel rules, the real daemon, and what the
 * provider saw. One long story: each part goes on where the last one ended.
 */
import t from 'tap'
import { enterLab } from '../lab/enter.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'
import { captures } from './main-job/captures.ts'
import { failures } from './main-job/failures.ts'
import { noKeyStands, receiptsVerify, recordsVerify } from './main-job/proofs.ts'
import { refusals } from './main-job/refusals.ts'
import { story } from './main-job/story.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const { lab, gateway } = await labWithGateway(t)
const told = story(lab, gateway)

captures(told)
recordsVerify(told)
refusals(told)
failures(told)
receiptsVerify(told)
noKeyStands(told)
