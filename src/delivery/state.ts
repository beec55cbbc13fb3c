export const openStates = ['pending', 'sending', 'verifying', 'retrying', 'held'] as const;
export const finalStates = ['confirmed', 'dead', 'unknown', 'expired', 'cancelled', 'superseded'] as const;
export const deliveryStates = [...openStates, ...finalStates] as const;

export type OpenState = (typeof openStates)[number];
export type FinalState = (typeof finalStates)[number];
export type DeliveryState = (typeof deliveryStates)[number];

export const broadcastStates = ['converging', 'delivered', 'partial', 'failed', 'cancelled'] as const;
export type BroadcastState = (typeof broadcastStates)[number];

export function isFinal(state: DeliveryState): state is FinalState {
  return (finalStates as readonly string[]).includes(state);
}
