/** A CA in a temporary directory, for the tests of its rotation. */
import { join } from 'node:path'
import type { PermittedDomains } from '../../ca/authority.ts'
import { renewAuthority, takeStep } from '../../daemon/supervisor/authority/rotation.ts'
import {
  type Authorities,
  type AuthorityPlace,
  openAuthorities,
} from '../../daemon/supervisor/authority/store.ts'
import { placeIn } from './vault-fixture.ts'

export const domains = ['llm.example']

export const caIn = async (base: string): Promise<AuthorityPlace> => ({
  ...(await placeIn(base)),
  certificateFile: join(base, 'ca', 'ca.crt'),
})

export const openCa = (place: AuthorityPlace): Promise<Authorities> =>
  openAuthorities(place, { permittedDomains: domains, now: new Date() })

/** Begins a rotation, or goes on with one. */
export const begin = (
  place: AuthorityPlace,
  permittedDomains: PermittedDomains = domains,
): Promise<Authorities> => renewAuthority(place, { permittedDomains, now: new Date() }, { always: true })

export const step = (
  place: AuthorityPlace,
  ...steps: readonly Parameters<typeof takeStep>[1][]
): Promise<Authorities> =>
  steps.reduce<Promise<Authorities>>(
    async (before, each) => before.then(() => takeStep(place, each, new Date())),
    openCa(place),
  )

/** What is killed in the middle. */
export const TURNS = {
  first: openCa,
  begin,
  'begin-again': (place: AuthorityPlace) => begin(place, ['another.example']),
  switch: (place: AuthorityPlace) => step(place, 'signing'),
  finish: (place: AuthorityPlace) => step(place, 'finished'),
  abort: (place: AuthorityPlace) => step(place, 'aborted'),
}
