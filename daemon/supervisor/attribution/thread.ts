/** The look as a worker thread: /proc is read synchronously, beside the thread that answers everybody else. */

import { parentPort } from 'node:worker_threads'
import { flowOwner } from '../../../firewall/flow-owner.ts'
import { originalSource } from '../../../firewall/original-source.ts'
import { workInBackground } from '../../base/background.ts'
import { type Found, Look } from './look.ts'
import type { OwnerFlow } from './owner.ts'

export interface Asked {
  readonly request: number
  readonly flow: OwnerFlow
}

export type Answered = { readonly request: number } & Found

workInBackground()
const look = new Look({ flowOwner })

/** Whose socket nobody found by what accept(2) said may have had its port translated. */
function untranslated(flow: OwnerFlow): OwnerFlow {
  const { listener, client, inode } = flow
  if (listener === undefined || inode !== undefined) return flow
  try {
    return { ...flow, client: originalSource({ local: listener, peer: client }) ?? client }
  } catch {
    // A kernel without nf_conntrack_netlink: what accept(2) said must do.
    return flow
  }
}

parentPort?.on('message', ({ request, flow }: Asked) => {
  look.ask(untranslated(flow)).then(({ owners, agent }) => {
    parentPort?.postMessage({ request, owners, agent } satisfies Answered)
  })
})
