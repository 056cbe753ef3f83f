/** `node authority-crasher.ts STEP WHAT BASE`: rotates a CA; the preload ends it before its change number STEP. */
import { caIn, TURNS } from './authority-fixture.ts'

const [, , , what, base = ''] = process.argv
await TURNS[what as keyof typeof TURNS](await caIn(base))
