/** The catalog that the gateway runs with: the committed price table and our own capability facts. */
import type { Catalog } from '../core/catalog.ts'
import { capabilitiesOf } from './capabilities.ts'
import { PRICE_DATA } from './price-data.ts'
import { createPriceList } from './prices.ts'

export const createCatalog = (): Catalog => ({
  ...createPriceList(PRICE_DATA),
  outputLimitOf: (model) => capabilitiesOf(model).outputTokens,
  capabilitiesOf,
})
