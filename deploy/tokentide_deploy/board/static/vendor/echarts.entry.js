export { init, getInstanceByDom, connect, graphic, registerTheme, version } from 'echarts/core';
import { use } from 'echarts/core';
import { LineChart, BarChart, PieChart, HeatmapChart, GaugeChart, ScatterChart } from 'echarts/charts';
import { GridComponent, TooltipComponent, VisualMapComponent, MarkLineComponent, MarkAreaComponent, AriaComponent } from 'echarts/components';
import { CanvasRenderer } from 'echarts/renderers';
use([LineChart, BarChart, PieChart, HeatmapChart, GaugeChart, ScatterChart, GridComponent, TooltipComponent, VisualMapComponent, MarkLineComponent, MarkAreaComponent, AriaComponent, CanvasRenderer]);
