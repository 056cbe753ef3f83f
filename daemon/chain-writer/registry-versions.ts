/**
 * Which code is AnchorRegistry's. A contract can't be changed, so each version has an address of its own; what was
 * anchored in a former one stays evidence, and whoever verifies must know its code from any other that logs the
 * same event.
 */
import { hash } from 'node:crypto'
import { deployedCode } from './registry.ts'

/** SHA-256 of the deployed code of versions that gateways once anchored in. */
const FORMER: readonly string[] = [
  // The first, at 0xaf01cc4d39a0f22342c58f152bff2634ae8b3725 where the factory put it: without signed authorisations.
  'e0e832e5fbf580c6db08f66521c844b7d06b8ecf083c9967344333f2c582a155',
]

/** @param code 0x-hex, lower case, as it stands on a chain */
export const isCurrentRegistry = (code: string): boolean => code === deployedCode

/** Of this version or a former one: `head`, and the event of an anchor, are the same in all. */
export const isAnyRegistry = (code: string): boolean =>
  isCurrentRegistry(code) || FORMER.includes(hash('sha256', Buffer.from(code.slice(2), 'hex')))
