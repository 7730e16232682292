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
