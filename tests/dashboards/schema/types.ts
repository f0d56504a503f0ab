// A dashboard of ours, in terms of Grafana's own types: the panel kinds that we use, and nothing that is not listed.
// `dashboard.schema.json` is made from this file (README.md).
import * as Raw from './node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import * as Stat from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import * as Table from './node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import * as Series from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
import * as XY from './node_modules/@grafana/schema/dist/types/raw/composable/xychart/panelcfg/x/types.gen';
import { TableCellOptions } from './node_modules/@grafana/schema/dist/types/common/common.gen';

interface TemplateSource { type: 'grafana-clickhouse-datasource'; uid: '${datasource}' }

interface TargetBase {
  refId: string;
  datasource: TemplateSource;
  editorType: 'sql';
  rawSql: string;
  pluginVersion: '4.20.0';
}
// The number and the name of a format have to agree.
type Target = TargetBase & ({ queryType: 'timeseries'; format: 0 } | { queryType: 'table'; format: 1 });

// A link from a value to another dashboard. In Grafana's types it is `any`.
interface DataLink { title: string; url: string }

type Property =
  | { id: 'links'; value: DataLink[] }
  | { id: 'unit'; value: string }
  | { id: 'decimals' | 'min' | 'max' | 'custom.width'; value: number }
  | { id: 'color'; value: Raw.FieldColor }
  | { id: 'thresholds'; value: Raw.ThresholdsConfig }
  | { id: 'custom.cellOptions'; value: TableCellOptions };
interface Override { matcher: { id: 'byName'; options: string }; properties: Property[] }

interface FieldConfig<Custom> {
  defaults: Omit<Raw.FieldConfig, 'custom' | 'unit' | 'links'> & {
    unit: string;
    links?: DataLink[];
    custom?: Partial<Custom>;
  };
  overrides: Override[];
}

interface PanelOf<Type extends string, Options, Custom> {
  id: number;
  type: Type;
  title: string;
  description: string;
  transparent?: false;
  repeatDirection?: 'h';
  interval?: string;
  datasource: TemplateSource;
  gridPos: Raw.GridPos;
  options: Partial<Options>;
  fieldConfig: FieldConfig<Custom>;
  targets: Target[];
}
export type AnyPanel =
  | PanelOf<'stat', Stat.Options, {}>
  | PanelOf<'timeseries', Series.Options, Series.FieldConfig>
  | PanelOf<'table', Table.Options, Table.FieldConfig>
  | PanelOf<'xychart', XY.Options, XY.FieldConfig>;

// A query for marks in time. Grafana's own type of the target is that of its built-in annotations.
interface Annotation {
  name: string;
  datasource: TemplateSource;
  enable: boolean;
  hide?: boolean;
  iconColor: string;
  target: Target & { queryType: 'table' };
}

export interface Board extends Omit<Raw.Dashboard, 'panels' | 'annotations' | 'uid' | 'title' | 'description'> {
  uid: string;
  title: string;
  description: string;
  panels: AnyPanel[];
  annotations?: { list?: Annotation[] };
}
