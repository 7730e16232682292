export {
  type DurableFirstKind,
  EVENT_KINDS,
  EVENT_SEVERITIES,
  type EventFields,
  type EventKind,
  type EventSeverity,
} from './core/event-kinds.ts';
export {
  type EventGap,
  type EventListener,
  EventLog,
  type EventLogOptions,
  type EventPage,
  type EventPageRequest,
  type EventStorage,
  type EventSubscription,
  type FoundEvents,
  type NodeEvent,
} from './core/event-log.ts';
export {
  isUnfinished,
  OPERATION_TRANSITIONS,
  type Operation,
  type OperationKind,
  type OperationProgress,
  type OperationRecord,
  type OperationState,
  type OperationStep,
  type StepContext,
  type StepDone,
  type StepEnd,
} from './core/operation.ts';
export {
  HISTORY_MAX,
  type OperationJournal,
  type OperationRequest,
  OperationRunner,
  type OperationRunnerOptions,
  RUNNING_MAX,
  UNFINISHED_MAX,
} from './core/operation-runner.ts';
