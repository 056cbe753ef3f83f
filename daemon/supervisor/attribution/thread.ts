/** The look as a worker thread: /proc is read synchronously, beside the thread that answers everybody else. */

import { parentPort } from 'node:worker_threads'
import { flowOwner } from '../../../firewall/flow-owner.ts'
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

parentPort?.on('message', ({ request, flow }: Asked) => {
  look.ask(flow).then(({ owners, agent }) => {
    parentPort?.postMessage({ request, owners, agent } satisfies Answered)
  })
})
