import { bootOrder } from './boot-order.ts'

await bootOrder(import.meta.url, 'trixie')
